"""Priors that act on the window after each step, all but TV: bounds, decay, blur, small pixels.

Those of Yosinski et al. 2015, "Understanding Neural Networks Through Deep Visualization", section
3, as their toolbox ``caffe_misc`` / ``optimize_image.py`` applies them, work on distances from the
levels that the network's preprocessing turns into zero.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mfvjax.contracts import Levels, StepInfo
from mfvjax.parts import Number, number, part
from mfvjax.priors.blur import gaussian_blur


@part
class Clip:
    """Levels are kept within the range of the domain, or a part of it.

    Attributes:
      low: in levels.
      high: in levels.
    """

    low: Number = number(default=0.0)
    high: Number = number(default=255.0)

    def __call__(self, window: Levels, step: StepInfo) -> Levels:
        """Cuts off what is beyond."""
        return jnp.clip(window, self.low, self.high)


@part
class Decay:
    """Every pixel moves toward zero of the network's input: L2 decay.

    Attributes:
      rate: share of the distance that is lost.
    """

    rate: Number = number(at_least=0, at_most=1)

    def __call__(self, window: Levels, step: StepInfo) -> Levels:
        """Multiplies distances by ``1 - rate``."""
        zero = step.zero.reshape(1, 1, -1)
        return zero + (window - zero) * (1 - self.rate)


@part
class Blur:
    """Gaussian blur; `mfvjax.priors.blur.gaussian_blur`.

    Attributes:
      sigma: in pixels; at 0 nothing happens.
      every: in steps whose number in the phase divides by it.
    """

    sigma: Number = number(at_least=0)
    every: Number = number(default=1.0, at_least=1)

    def __call__(self, window: Levels, step: StepInfo) -> Levels:
        """Blurs in every so manieth step."""
        is_due = jnp.mod(step.iteration, jnp.asarray(self.every)) == 0
        sigma = jnp.where(is_due, jnp.asarray(self.sigma, window.dtype), 0)
        return jnp.where(sigma > 0, gaussian_blur(window, sigma), window)


@part
class SmallNorm:
    """Pixels whose color is nearest to zero become zero.

    Attributes:
      percentile: pixels whose distance from zero, over channels, is below it; 0 to 100.
    """

    percentile: Number = number(at_least=0, at_most=100)

    def __call__(self, window: Levels, step: StepInfo) -> Levels:
        """Sets the share of pixels."""
        zero = step.zero.reshape(1, 1, -1)
        norm = jnp.sqrt(jnp.sum((window - zero) ** 2, axis=-1))
        return jnp.where(_smallest(norm, self.percentile), zero, window)


@part
class SmallContribution:
    """Pixels that the objective would lose least without become zero.

    The contribution of a pixel is ``|sum over channels of x * gradient|``, x its distance from zero
    and the gradient that of the step: how much the objective changes, to first order, when it is
    set to zero.

    Attributes:
      percentile: pixels whose contribution is below it; 0 to 100.

    Raises (when it is used):
      ValueError: what moves is not the window's pixels.
    """

    percentile: Number = number(at_least=0, at_most=100)

    def __call__(self, window: Levels, step: StepInfo) -> Levels:
        """Sets the share of pixels."""
        if step.gradient is None:
            raise ValueError("SmallContribution needs pixels: use the parametrization Pixels()")
        zero = step.zero.reshape(1, 1, -1)
        contribution = jnp.abs(jnp.sum((window - zero) * step.gradient, axis=-1))
        return jnp.where(_smallest(contribution, self.percentile), zero, window)


def _smallest(values: Float[Array, "h w"], percentile: Number) -> Bool[Array, "h w 1"]:
    return (values < jnp.percentile(values, percentile))[..., None]
