"""What the engine asks of a part; a part of any of these kinds is one small file.

In the ascent an image is in *levels*: ``(height, width, channels)``, float32, where 0 to 255 spans
the range of the network's domain, whatever that is. So step sizes, TV weights and noise mean the
same for a photograph, a grey picture and a spectrogram. Each method works on one facet; the engine
maps it over all of them.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias, runtime_checkable

import optax
from jaxtyping import Array, Float, Int

from mfvjax.types import Key

Levels: TypeAlias = Float[Array, "height width channels"]
Size: TypeAlias = tuple[int, int]


class Scene(NamedTuple):
    """What does not change during a run; static.

    Attributes:
      size: ``(height, width)`` of what moves, in pixels: the canvas, or a window of it.
      channels: of an image.
      is_color: whether they are red, green and blue.
      is_picture: whether rows and columns are alike, so that an image may be turned.
    """

    size: Size
    channels: int
    is_color: bool
    is_picture: bool


@runtime_checkable
class Parametrization(Protocol):
    """The numbers that move, and the image that they stand for.

    Attributes:
      is_local: the numbers have the image's axes, and those of a window stand for that window. A
        view can then cut windows, and only their numbers move, each with its optimizer's state;
        otherwise all of them move in every step.
    """

    is_local: ClassVar[bool]

    def encode(self, image: Levels, scene: Scene) -> Any:
        """The numbers that stand for `image`, or as nearly as they can."""

    def decode(self, numbers: Any, scene: Scene) -> Levels:
        """The image that the numbers stand for; differentiable."""


@runtime_checkable
class View(Protocol):
    """How an image becomes what the network sees in one step; anew for each facet and step.

    Attributes:
      crops: the view moves a window of the canvas and is a `CroppingView`; of several views only
        the first may.
    """

    crops: ClassVar[bool]

    def see(
        self, key: Key, image: Levels, size: Size, scene: Scene
    ) -> Float[Array, "rows columns channels"]:
        """What the network sees; of `size` for the last view, of any other for those before."""


@runtime_checkable
class CroppingView(View, Protocol):
    """A view that cuts a window of the canvas; only the window moves."""

    def offset(self, key: Key, free: Int[Array, 2]) -> Int[Array, 2]:
        """Top-left corner of the window in a canvas that is larger by `free` pixels."""


@runtime_checkable
class Update(Protocol):
    """A link of the optimizer's chain, with optax's own sign: it descends the loss.

    The loss is minus the objective, so that ``optax.adam(0.05)`` climbs. The call is made in the
    compiled step, where the part's numbers are those of the step. A link that works on rows and
    columns of the gradient says ``needs_axes = True``; a phase whose parametrization is not local
    then refuses it.
    """

    def __call__(self) -> optax.GradientTransformation:
        """The transformation of one facet's gradient."""


class StepInfo(NamedTuple):
    """What a projection may know of the step.

    Attributes:
      iteration: number of the step in its phase, from 0.
      gradient: of the objective with respect to the window before the step, in its shape; ``None``
        where what moves is not the window's pixels.
      zero: ``(channels,)``, the levels that the network's preprocessing turns into zero.
    """

    iteration: Float[Array, ""]
    gradient: Levels | None
    zero: Float[Array, " channels"]


@runtime_checkable
class Projection(Protocol):
    """What is done to the window after each update: a prior, or a bound."""

    def __call__(self, window: Levels, step: StepInfo) -> Levels:
        """The window, changed."""
