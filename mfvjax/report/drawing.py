"""A sheet of paper measured in inches, on which figures put pictures, lines and numbers."""

from __future__ import annotations

import io
import os
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Num

from mfvjax.report.colors import facet_color, ink_on
from mfvjax.report.embed import as_uint8, resize
from mfvjax.report.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".pdf", ".png")
DPI = 300
FRAME = 1.6  # points


class Sheet:
    """One page; places are ``(x, y)`` in inches from the top-left corner, y down.

    Pictures are resampled once and pasted into one raster of the page; lines, numbers and plots
    stay vectors. Lines of `axes` with a ``zorder`` below 2 lie under the pictures.

    Attributes:
      figure: matplotlib's, for plots in axes of their own.
      axes: all of the page, in inches.
    """

    def __init__(self, width: float, height: float):
        from matplotlib.figure import Figure

        rows, columns = round(height * DPI), round(width * DPI)
        self.size = columns / DPI, rows / DPI
        self.raster = np.zeros((rows, columns, 4), np.uint8)
        self.figure = Figure(figsize=self.size, facecolor="white")
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()

    def picture(
        self,
        image: Num[np.ndarray, "h w c"],
        corner: tuple[float, float],
        side: float,
        *,
        frame: str | None = None,
    ) -> None:
        """Puts a picture, opaque or RGB and opacity, into a square; `frame` colors its border."""
        from matplotlib.patches import Rectangle

        left, top, pixels = (round(v * DPI) for v in (*corner, side))
        place = self.raster[top : top + pixels, left : left + pixels]
        place[..., 3] = 255
        place[..., : image.shape[2]] = resize(as_uint8(image), (pixels, pixels))
        if frame is not None:
            self.axes.add_patch(
                Rectangle(
                    corner, side, side, fill=False, edgecolor=frame, linewidth=FRAME, zorder=3
                )
            )

    def plot(self, corner: tuple[float, float], size: tuple[float, float]) -> Axes:
        """Axes for a plot, `size` wide and high, in inches."""
        (x, y), (width, height) = corner, size
        whole = np.array([*self.size, *self.size])
        return self.figure.add_axes(
            tuple(np.array([x, self.size[1] - y - height, width, height]) / whole)
        )

    def badge(self, facet: int, middle: tuple[float, float]) -> None:
        """The facet's number in a disc of its color."""
        color = facet_color(facet)
        self.axes.plot(
            *middle, "o", color=color, markersize=11, markeredgecolor="white", markeredgewidth=0.8,
            zorder=4,
        )  # fmt: skip
        size = 6.5 if facet < 9 else 5.5
        self.text(
            str(facet + 1), middle, size=size, color=ink_on(color), weight="bold",
            va="center_baseline",
        )  # fmt: skip

    def text(self, text: str, place: tuple[float, float], **style: Any) -> None:
        """Words centered at `place`; never read as mathematics."""
        plain: dict[str, Any] = {"ha": "center", "va": "center", "size": 7, "color": "#333333"}
        self.axes.text(*place, text, parse_math=False, zorder=5, **(plain | style))

    def save(self, path: str | os.PathLike[str]) -> pathlib.Path:
        """Writes the sheet as its suffix says; fonts in a PDF stay text (Type 42).

        Raises:
          ValueError: the suffix is neither ``.pdf`` nor ``.png``.
        """
        import matplotlib

        path = check_format(path)
        if not self.axes.images:
            self._paste()
        buffer = io.BytesIO()
        file_type = path.suffix[1:].lower()
        options: dict[str, dict[str, Any]] = {
            "pdf": {"metadata": {"CreationDate": None}},  # the same run, the same bytes
            "png": {"pil_kwargs": {"compress_level": 4}},  # half the time for 3 % more bytes
        }
        with matplotlib.rc_context({"pdf.fonttype": 42}):
            self.figure.savefig(buffer, format=file_type, dpi=DPI, **options[file_type])
        return write_whole(path, buffer.getvalue())

    def _paste(self) -> None:
        width, height = self.size
        self.axes.imshow(
            self.raster, extent=(0, width, height, 0), aspect="auto", interpolation="none", zorder=2
        )
        self.axes.set(xlim=(0, width), ylim=(height, 0))


def check_format(path: str | os.PathLike[str]) -> pathlib.Path:
    """The path, if its suffix is one that figures are written in.

    Raises:
      ValueError: the suffix is neither ``.pdf`` nor ``.png``.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"figures are written as {' or '.join(FORMATS)}, not {path.name!r}")
    return path
