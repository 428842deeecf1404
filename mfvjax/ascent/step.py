"""One iteration of activation maximization on a batch of windows: gradient step, TV denoising.

Method: Nguyen et al. 2016, sections 2 and S2.3; arithmetic of the release's ``make_step``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int8

from mfvjax.ascent.relu import read_with_relu_inputs
from mfvjax.objective import Readouts, read_objectives
from mfvjax.preprocess import Preprocessing
from mfvjax.priors.tv import denoise_tv
from mfvjax.types import ForwardFn, Images, Params, PixelBox

ReadFn: TypeAlias = Callable[[Params, Array], Mapping[str, Array]]


@dataclasses.dataclass(frozen=True)
class Reader:
    """A network as the ascent sees it: ``(params, images) -> {layer: activation}``.

    A value: two networks of one architecture and preprocessing share their compiled programs.
    """

    forward: ForwardFn
    preprocessing: Preprocessing

    def __call__(self, params: Params, images: Array) -> Mapping[str, Array]:
        """Activations of RGB images in [0, 255]."""
        return self.forward(params, self.preprocessing.to_net_input(images))


# Why a facet stopped moving; 0 while it moves.
RUNNING, NOT_FINITE, VANISHED = 0, 1, 2


@dataclasses.dataclass(frozen=True)
class StepOptions:
    """What shapes the compiled step; see `mfvjax.schedule.Phase` for the meaning.

    Attributes:
      region: the box of the network's input that the window fills, the rest being `fill`; ``None``
        where the window is the whole input.
      fill: RGB grey levels around the region.
    """

    input_size: tuple[int, int]
    target: str = "unit"
    tv_rule: str = "isotropic"
    tv_order: str = "red-black"
    num_sweeps: int = 100
    tv_tolerance: float | None = None
    region: PixelBox | None = None
    fill: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def window_size(self) -> tuple[int, int]:
        """``(height, width)`` of the window in pixels."""
        return self.input_size if self.region is None else self.region.size


class StepResult(NamedTuple):
    """A step's outcome.

    Attributes:
      windows: grey levels in [0, 255] up to the float error of the TV step.
      opt_state: of the optimizer.
      activations: objective of each window **before** the step.
      status: `RUNNING`, `NOT_FINITE` or `VANISHED` for each facet.
    """

    windows: Images
    opt_state: Any
    activations: Float[Array, " batch"]
    status: Int8[Array, " batch"]


def normalize_by_mean_absolute() -> optax.GradientTransformation:
    """Divides an update by the mean of its absolute values over all entries, zeros included.

    With it a step size is the mean absolute change in grey levels (the release's
    ``step_size / np.abs(g).mean() * g``). An update of zeros stays zero.
    """

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        def normalize(u: Array) -> Array:
            # In two factors: a gradient of 1e-30 would lose its mean to float32's denormals.
            largest = jnp.max(jnp.abs(u))
            scaled = u / jnp.where(largest > 0, largest, 1)
            mean = jnp.mean(jnp.abs(scaled))
            return scaled / jnp.where(mean > 0, mean, 1)

        return jax.tree.map(normalize, updates), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def place(
    windows: Float[Array, "batch _ _ 3"], options: StepOptions
) -> Float[Array, "batch _ _ 3"]:
    """The network's input images: the windows themselves, or set into `region` of a flat image."""
    if options.region is None:
        return windows
    height, width = options.input_size
    box = options.region
    fill = jnp.asarray(options.fill, windows.dtype).reshape(1, 1, 1, 3)
    frame = jnp.broadcast_to(fill, (windows.shape[0], height, width, 3))
    return frame.at[:, box.top : box.bottom, box.left : box.right].set(windows)


def ascend(
    read: ReadFn,
    params: Params,
    readouts: Readouts,
    windows: Images,
    opt_state: Any,
    *,
    options: StepOptions,
    optimizer: optax.GradientTransformation,
    step_size: ArrayLike,
    fidelity: ArrayLike,
    mask: Float[Array, "height width 1"],
) -> StepResult:
    """Takes one step with every window: ascent, clip to [0, 255], TV denoising.

    Args:
      read: maps images, RGB in [0, 255], to named activations.
      params: first argument of `read`.
      readouts: the objectives, from `mfvjax.objective.stack_objectives`.
      windows: of size `options.window_size`.
      opt_state: one state per facet, leaves with a leading batch axis.
      options: static.
      optimizer: turns one facet's gradient into a direction; `step_size` scales it.
      step_size: grey levels.
      fidelity: of the TV step.
      mask: factor of the gradient, applied before the optimizer sees it.
    """

    def value(windows: Images) -> Float[Array, " batch"]:
        def activations(images: Array) -> Mapping[str, Array]:
            return read(params, images)

        images = place(windows, options)
        if options.target == "probability":
            return read_objectives(activations(images), readouts, probability=True)
        found, relu_inputs = read_with_relu_inputs(activations, images, tuple(readouts.linear))
        return read_objectives(found, readouts, relu_inputs=relu_inputs)

    # One facet's objective does not depend on another's window, so the gradient of the batch is
    # each facet's own.
    activations, pullback = jax.vjp(value, windows)
    (gradient,) = pullback(jnp.ones_like(activations))
    gradient = gradient * mask[None]
    updates, new_state = jax.vmap(optimizer.update)(gradient, opt_state, windows)
    status = _status(activations, gradient, updates)

    step_size = jnp.asarray(step_size, windows.dtype)
    moved = jnp.clip(windows + step_size * updates, 0, 255)
    moves = status == RUNNING
    moved = jnp.where(moves[:, None, None, None], moved, windows)
    if options.num_sweeps:
        moved = denoise_tv(
            moved,
            fidelity=fidelity,
            rule=options.tv_rule,  # type: ignore[arg-type]
            order=options.tv_order,  # type: ignore[arg-type]
            num_sweeps=options.num_sweeps,
            tolerance=options.tv_tolerance,
        )
    return StepResult(moved, new_state, activations, status)


def _status(
    activations: Float[Array, " batch"], gradient: Images, updates: Images
) -> Int8[Array, " batch"]:
    axes = (1, 2, 3)
    finite = (
        jnp.isfinite(activations)
        & jnp.all(jnp.isfinite(gradient), axis=axes)
        & jnp.all(jnp.isfinite(updates), axis=axes)
    )
    vanished = jnp.all(gradient == 0, axis=axes)
    status = jnp.where(finite, jnp.where(vanished, VANISHED, RUNNING), NOT_FINITE)
    return status.astype(jnp.int8)
