"""Plots as inline SVG: matplotlib draws them, a pass over the tree makes them part of the page.

Why matplotlib: it is a dependency already, its SVG prints crisply and needs no script, and one page
of ten facets holds about 0.3 MB of it; Bokeh's script alone is 1 MB and Plotly's 4.5 MB, and both
show nothing without it. Ids that nobody refers to, widths and metadata are dropped; three sentinel
colors become the page's own, so that plots follow the light or dark scheme.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Float, Float32, Int

from mfvjax.report.colors import facet_color, facet_marker

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Sentinels, and the page's own colors that take their places.
INK, PAPER, MARK = "#010203", "#fefdfc", "#040506"
PAGE_COLORS = {INK: "currentColor", PAPER: "var(--paper)", MARK: "var(--mark)"}
_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"


def map_svg(points: Float[np.ndarray, "n 2"], assignment: Int[np.ndarray, " n"]) -> str:
    """The images as points of their facets' colors and shapes, one group per facet.

    Groups have ``data-facet``, in the order of the facets, and define ``--c``, the facet's color; a
    group's points are in the order of the images. The viewBox is the unit square of `points`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 7))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 1), ylim=(1, 0))
    axes.set_axis_off()
    area = float(np.clip(30000 / len(points), 20, 110))  # points^2
    for facet in range(int(assignment.max()) + 1):
        x, y = points[assignment == facet].T
        artist = axes.scatter(
            x, y, s=area, color=MARK, marker=facet_marker(facet), edgecolors=PAPER
        )
        artist.set(gid=f"map-facet-{facet}", linewidth=0.7, clip_on=False)
    return inline_svg(figure, salt="map")


def curve_svg(
    activations: Float32[np.ndarray, " steps"],
    *,
    phase_ends: tuple[int, ...],
    limits: tuple[float, float],
    salt: str,
) -> str:
    """The objective by step, with a line at each phase's end and the phases' numbers above.

    The curve has the color ``var(--mark)``.

    Args:
      activations: NaN after an early stop.
      phase_ends: steps taken at the end of each phase.
      limits: of the vertical axis, so that facets can be compared.
      salt: makes the ids of this plot its own; unique on the page.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 2.2))
    axes = figure.add_axes((0.085, 0.2, 0.9, 0.7))
    draw_curve(axes, activations, phase_ends=phase_ends, color=MARK, ink=INK)
    axes.set_ylim(*limits)
    axes.set_xlabel("step", color=INK, fontsize=9)
    return inline_svg(figure, salt=salt)


def draw_curve(
    axes: Axes,
    activations: Float32[np.ndarray, " steps"],
    *,
    phase_ends: tuple[int, ...],
    color: str,
    ink: str,
    numbered: bool = True,
) -> None:
    """Draws the objective by step into `axes`, as `curve_svg`; phases `numbered` above or not."""
    num_steps = len(activations)
    starts = (0, *phase_ends[:-1])
    for phase, (start, end) in enumerate(zip(starts, phase_ends, strict=True), 1):
        if start:
            axes.axvline(start, color=ink, linewidth=0.6, alpha=0.35, linestyle=(0, (2, 2)))
        if numbered and end - start > 0.04 * num_steps:
            axes.text(
                (start + end) / 2, 1.02, str(phase), transform=axes.get_xaxis_transform(),
                ha="center", va="bottom", fontsize=8, color=ink, alpha=0.6,
            )  # fmt: skip
    axes.plot(np.arange(num_steps), activations, color=color, linewidth=1.4)
    axes.set_xlim(0, max(num_steps - 1, 1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=ink, alpha=0.4, linewidth=0.6)
    axes.tick_params(color=ink, labelcolor=ink, labelsize=8, width=0.6, length=2.5)
    axes.locator_params(axis="y", nbins=4)


def curve_limits(activations: Float32[np.ndarray, "k steps"]) -> tuple[float, float]:
    """Limits of the vertical axis that all facets share; (0, 1) where nothing is finite."""
    finite = activations[np.isfinite(activations)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    room = 0.05 * (high - low) or 1.0
    return low - room, high + room


def inline_svg(figure: Figure, *, salt: str) -> str:
    """An ``<svg>`` element of class ``plot`` to stand in a page; the same figure, the same text."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    ElementTree.register_namespace("", _SVG)
    root = ElementTree.fromstring(buffer.getvalue())
    _prune(root)
    _name_facets(root)
    text = ElementTree.tostring(root, encoding="unicode")
    for sentinel, color in PAGE_COLORS.items():
        text = text.replace(sentinel, color)
    return text


def _prune(root: ElementTree.Element) -> None:
    """Drops what only a file of its own needs, and rounds nothing."""
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {"class": "plot", "aria-hidden": "true", "focusable": "false"}
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    text = ElementTree.tostring(root, encoding="unicode")
    for element in root.iter():
        reference = element.attrib.pop(f"{{{_XLINK}}}href", None)
        if reference is not None:
            element.attrib["href"] = reference
        name = element.get("id", "")
        if f"#{name}" not in text and not name.startswith("map-facet-"):
            element.attrib.pop("id", None)


def _name_facets(root: ElementTree.Element) -> None:
    """Marks each facet's group and moves the style that its points share up to it."""
    for group in root.iter(f"{{{_SVG}}}g"):
        name = group.get("id", "")
        if name.startswith("map-facet-"):
            del group.attrib["id"]
            facet = name.removeprefix("map-facet-")
            shared = {point.attrib.pop("style", "") for point in group.iter(f"{{{_SVG}}}use")}
            style = "; ".join([f"--c: {facet_color(int(facet))}", *sorted(shared)])
            group.attrib |= {"data-facet": facet, "class": "points", "style": style}
