"""Links of the optimizer's chain, each with optax's own sign: they descend the loss.

An optax transformation can stand wherever a link can. One whose numbers shall ramp, or shall not be
compiled in, is written as ``Optax(optax.adam, {"learning_rate": (0.1, 0.01)})``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from mfvjax.parts import Number, number, part, static
from mfvjax.priors.blur import gaussian_blur
from mfvjax.priors.jitter import margin_mask
from mfvjax.schedule import as_number


@part
class MeanAbsoluteStep:
    """A step of a given mean absolute change per pixel: the paper's.

    The release's ``step_size / np.abs(g).mean() * g``, with the gradient's margin set to zero
    before the mean is taken. A gradient of zeros gives a step of zeros.

    Attributes:
      size: mean absolute change, zeros included, in levels.
      margin_px: this many pixels at each side of the window get no gradient; ``None`` for none,
        wherever what moves has not the image's axes.
    """

    size: Number = number(at_least=0)
    margin_px: Number | None = number(default=None, at_least=0, scales=True)

    @property
    def needs_axes(self) -> bool:
        """Whether the gradient must have the image's axes."""
        return self.margin_px is not None

    def __call__(self) -> optax.GradientTransformation:
        """Margin, normalization, step."""
        margin = [] if self.margin_px is None else [Margin(self.margin_px)()]
        return optax.chain(*margin, mean_absolute(), optax.scale(-self.size))


@part
class Margin:
    """Pixels near the window's border get no gradient.

    Attributes:
      pixels: at each side.
    """

    pixels: Number = number(at_least=0, scales=True)

    needs_axes: ClassVar[bool] = True

    def __call__(self) -> optax.GradientTransformation:
        """Multiplies the gradient by a mask."""

        def masked(gradient: Array) -> Array:
            return gradient * margin_mask((gradient.shape[0], gradient.shape[1]), self.pixels)

        return optax.stateless(lambda updates, params=None: jax.tree.map(masked, updates))


@part
class GradientBlur:
    """The gradient, blurred: its low frequencies move first.

    Attributes:
      sigma: of the Gaussian, in pixels.
    """

    sigma: Number = number(above=0)

    needs_axes: ClassVar[bool] = True

    def __call__(self) -> optax.GradientTransformation:
        """Convolves the gradient."""

        def blurred(gradient: Array) -> Array:
            return gaussian_blur(gradient, self.sigma)

        return optax.stateless(lambda updates, params=None: jax.tree.map(blurred, updates))


@part
class Optax:
    """A transformation of optax that is made in the step, from numbers that may ramp.

    Attributes:
      make: such as ``optax.adam``; a module's function, so that equal recipes share programs.
      options: its keyword arguments that are numbers.
      fixed: ``(name, value)`` pairs of those that are not (``nesterov``, say).
    """

    make: Callable[..., optax.GradientTransformation] = static()
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fixed: tuple[tuple[str, Any], ...] = static(default=())

    def __post_init__(self) -> None:
        plain = {n: as_number(f"Optax option {n}", v) for n, v in self.options.items()}
        object.__setattr__(self, "options", plain)

    def __call__(self) -> optax.GradientTransformation:
        """Calls `make`."""
        return self.make(**self.options, **dict(self.fixed))


@part
class Given:
    """A transformation of optax as it is; programs are compiled for this very object.

    Attributes:
      transformation: its updates are added, as optax means them.
    """

    transformation: optax.GradientTransformation = static()

    def __call__(self) -> optax.GradientTransformation:
        """The transformation."""
        return self.transformation


def mean_absolute() -> optax.GradientTransformation:
    """Divides an update by the mean of its absolute values over all entries, zeros included.

    With it a step size is the mean absolute change. An update of zeros stays zero.
    """

    def normalize(u: Array) -> Array:
        # In two factors: a gradient of 1e-30 would lose its mean to float32's denormals.
        largest = jnp.max(jnp.abs(u))
        scaled = u / jnp.where(largest > 0, largest, 1)
        mean = jnp.mean(jnp.abs(scaled))
        return scaled / jnp.where(mean > 0, mean, 1)

    return optax.stateless(lambda updates, params=None: jax.tree.map(normalize, updates))
