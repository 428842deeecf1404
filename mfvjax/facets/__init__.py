"""Finding facets: codes, top images, maps, clusters, mean images and patches."""
