"""From a network, images and a unit to a finished run: discover, visualize, score, record."""

from mfvjax.pipeline.replay import largest_difference as largest_difference
from mfvjax.pipeline.replay import replay as replay
from mfvjax.pipeline.run_unit import choose_recipe as choose_recipe
from mfvjax.pipeline.run_unit import run_facets as run_facets
from mfvjax.pipeline.run_unit import run_unit as run_unit
from mfvjax.pipeline.targets import AscentPlan as AscentPlan
from mfvjax.pipeline.targets import plan_ascent as plan_ascent
