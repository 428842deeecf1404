"""How a gradient becomes a step; see `mfvjax.contracts.Update`."""

from mfvjax.updates.steps import Given as Given
from mfvjax.updates.steps import GradientBlur as GradientBlur
from mfvjax.updates.steps import Margin as Margin
from mfvjax.updates.steps import MeanAbsoluteStep as MeanAbsoluteStep
from mfvjax.updates.steps import Optax as Optax
from mfvjax.updates.steps import mean_absolute as mean_absolute
