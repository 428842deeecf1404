"""Small photograph-like pictures whose class and facet are known, as many as you like.

The ground truth of the demo, the tests and the bundled network: every class has one to six facets
that differ in what is seen and in its colors.
"""

from mfvjax.facetworld.catalog import CLASSES as CLASSES
from mfvjax.facetworld.catalog import FACETS as FACETS
from mfvjax.facetworld.world import FacetWorld as FacetWorld
from mfvjax.facetworld.world import dataset as dataset
from mfvjax.facetworld.world import render as render
