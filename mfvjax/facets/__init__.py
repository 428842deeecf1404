"""Finding facets: codes, top images, maps, clusters, mean images and patches."""

from mfvjax.facets.codes import Codes as Codes
from mfvjax.facets.codes import compute_codes as compute_codes
from mfvjax.facets.patches import extract_patches as extract_patches
from mfvjax.facets.patches import load_patches as load_patches
from mfvjax.facets.patches import mean_color as mean_color
from mfvjax.facets.patches import unit_boxes as unit_boxes
from mfvjax.facets.top import TopImages as TopImages
from mfvjax.facets.top import top_images as top_images
