"""The image itself, pixel by pixel: the paper's."""

from __future__ import annotations

from typing import ClassVar

from mfvjax.contracts import Levels, Scene
from mfvjax.parts import part


@part
class Pixels:
    """The levels of the canvas are the numbers that move."""

    is_local: ClassVar[bool] = True

    def encode(self, image: Levels, scene: Scene) -> Levels:
        """The image."""
        return image

    def decode(self, numbers: Levels, scene: Scene) -> Levels:
        """The numbers."""
        return numbers
