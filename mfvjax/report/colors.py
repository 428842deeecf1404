"""The color and shape of each facet, the same on the page and in the figures.

Twelve colors that stay apart for people with any common form of color vision: chosen by annealing
over OKLab lightness 0.4-0.8 and chroma up to 0.16 for the largest smallest distance under normal,
protan, deutan and tritan vision (Machado et al. 2009), then set apart by hand. Any two differ by at
least 0.07 in OKLab under each of the four; matplotlib's ten default colors come as close as 0.01.
Numbers stand beside the colors everywhere, and after twelve facets the shape changes.
"""

from __future__ import annotations

PALETTE = (
    "#3f9fdd",  # blue
    "#e0a800",  # gold
    "#a754af",  # purple
    "#1e8163",  # green
    "#b03a14",  # rust
    "#6e7ae5",  # periwinkle
    "#8a3054",  # wine
    "#c97b32",  # ochre
    "#5240a4",  # indigo
    "#2fc7d3",  # cyan
    "#a586a7",  # mauve
    "#a8c394",  # sage
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")


def facet_color(facet: int) -> str:
    """``"#rrggbb"`` of the facet with this index, from 0."""
    return PALETTE[facet % len(PALETTE)]


def facet_marker(facet: int) -> str:
    """Matplotlib marker of the facet with this index; changes each time the colors start over."""
    return MARKERS[facet // len(PALETTE) % len(MARKERS)]


def ink_on(color: str) -> str:
    """``"#ffffff"`` or ``"#111111"``: whichever is easier to read on `color` (WCAG contrast)."""
    luminance = relative_luminance(color)
    on_white = 1.05 / (luminance + 0.05)
    on_black = (luminance + 0.05) / (relative_luminance("#111111") + 0.05)
    return "#ffffff" if on_white >= on_black else "#111111"


def relative_luminance(color: str) -> float:
    """Of ``"#rrggbb"`` in sRGB: 0 is black, 1 is white (WCAG 2.2)."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
