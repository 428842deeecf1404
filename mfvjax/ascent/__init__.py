"""The compiled ascent: gradient, TV and jitter steps for a whole batch of facets at once."""

from mfvjax.ascent.engine import visualize as visualize
from mfvjax.ascent.result import FacetStoppedWarning as FacetStoppedWarning
from mfvjax.ascent.result import Visualization as Visualization
