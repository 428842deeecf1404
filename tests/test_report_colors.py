"""Facet colors: apart for any color vision, numbers on them readable."""

import itertools

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from mfvjax.report.colors import MARKERS, PALETTE, facet_color, facet_marker, ink_on

# Machado, Oliveira & Fernandes 2009, severity 1, for linear RGB.
VISION = {
    "normal": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def rgb(color):
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def linear(srgb):
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def seen(colors, vision):
    """CIE Lab of sRGB colors as somebody sees them."""
    light = np.clip(linear(colors) @ np.array(VISION[vision]).T, 0, 1)
    srgb = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return rgb2lab(srgb)


def smallest_difference(colors, vision):
    lab = seen(np.array([rgb(color) for color in colors]), vision)
    return min(deltaE_ciede2000(a, b) for a, b in itertools.combinations(lab, 2))


@pytest.mark.parametrize("vision", VISION)
def test_colors_stay_apart(vision):
    """The usual ten of matplotlib come as close as 1.4 to a deutan eye."""
    assert smallest_difference(PALETTE, vision) > 5.5
    assert len(PALETTE) == 12


def test_the_measure_tells_good_colors_from_bad():
    usual = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2"]
    usual += ["#7f7f7f", "#bcbd22", "#17becf"]
    assert min(smallest_difference(usual, vision) for vision in VISION) < 3


@pytest.mark.parametrize("color", [*PALETTE, "#ffffff", "#000000"])
def test_numbers_on_colors_are_readable(color):
    """WCAG AA asks for a contrast of 4.5; the other ink would be no better."""
    weights = np.array([0.2126, 0.7152, 0.0722])

    def contrast(ink):
        light = sorted(0.05 + linear(rgb(c)) @ weights for c in (ink, color))
        return light[1] / light[0]

    chosen = contrast(ink_on(color))
    assert chosen >= 4.5
    assert chosen == max(contrast("#ffffff"), contrast("#111111"))


def test_colors_start_over_with_another_shape():
    marks = [(facet_color(i), facet_marker(i)) for i in range(len(PALETTE) * len(MARKERS))]
    assert len(set(marks)) == len(marks)
    assert len({shape for _, shape in marks[:12]}) == 1
