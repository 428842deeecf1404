"""The compiled ascent: gradient, TV and jitter steps for a whole batch of facets at once."""

from mfvjax.ascent.result import FacetStoppedWarning as FacetStoppedWarning
from mfvjax.ascent.result import Visualization as Visualization
from mfvjax.ascent.visualize import visualize as visualize
