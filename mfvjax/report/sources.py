"""What a recipe does, in a sentence or two, and where it is from."""

from __future__ import annotations

import dataclasses
from typing import Any

_PAPER = (
    "Nguyen, Yosinski, Clune 2016, Multifaceted Feature Visualization, arXiv 1602.03616",
    "Mahendran, Vedaldi 2016, Visualizing Deep Convolutional Neural Networks Using Natural "
    "Pre-images: total variation and jitter",
)
_OURS = "mfvjax, this library"


@dataclasses.dataclass(frozen=True)
class RecipeNote:
    """A recipe for people.

    Attributes:
      name: of the recipe; empty in runs that do not say.
      about: what it does.
      sources: whom to cite.
    """

    name: str
    about: str
    sources: tuple[str, ...]


_STATISTICS = (
    _OURS + ": statistics of a facet's own images, together with its unit",
    _PAPER[0] + ": facets, mean images to start from",
    "Huang, Belongie 2017, Arbitrary Style Transfer in Real-time with Adaptive Instance "
    "Normalization, arXiv 1703.06868: mean and deviation of channels",
    "Gorgun et al. 2025, VITAL: activations of real images as the target",
    "Olah, Mordvintsev, Schubert 2017, Feature Visualization, Distill: Fourier space, decorrelated "
    "colors, random views",
)
_NOTES = {
    "facet-statistics": (
        "From the facet's mean image, in Fourier space and under random views: the unit rises "
        "while means and deviations of the network's channels, at all depths, meet those of the "
        "facet's own images.",
        _STATISTICS,
    ),
    "facet-statistics-small": (
        "From the facet's mean image, in Fourier space and under random views, with a little total "
        "variation: the unit rises while means and deviations of the network's channels, at all "
        "depths, meet those of the facet's own images.",
        _STATISTICS,
    ),
    "facet-statistics-patch": (
        "For a unit that sees a part of the image: from the mean of the facet's patches, in "
        "Fourier space and under views that move little, the unit rises while means and deviations "
        "of the network's channels meet those of the facet's own patches.",
        _STATISTICS,
    ),
    "mean-image": (
        "The authors' schedule from the mean image, its first step sizes rising as their numbers "
        "say, with this library's term that holds a picture at its facet.",
        (*_PAPER, _OURS + ": the term that holds a facet"),
    ),
    "small-image": (
        "The authors' schedule for inputs of about 96 pixels, with this library's term that holds "
        "a picture at its facet.",
        (*_PAPER, _OURS + ": the numbers for small inputs, and the term that holds a facet"),
    ),
    "spectrogram": (
        "The authors' schedule for small inputs, growing along time alone, with this library's "
        "term that holds a picture at its facet.",
        (*_PAPER, _OURS + ": the numbers for spectrograms, and the term that holds a facet"),
    ),
    "release-mean-image": (
        "The paper's way, from the mean image, by the numbers of the authors' scripts, arithmetic "
        "included.",
        _PAPER,
    ),
    "release-center-biased": (
        "The paper's center-biased regularization, by the numbers of the authors' scripts.",
        _PAPER,
    ),
    "paper-center-biased": (
        "The paper's center-biased regularization, by the numbers that it prints.",
        _PAPER,
    ),
}


def recipe_note(options: dict[str, Any]) -> RecipeNote:
    """What is known of a run's recipe, by its options; one of the user's own has no sources."""
    name = options.get("recipe", options.get("schedule"))  # as version 0.1 called it
    if not isinstance(name, str):
        return RecipeNote("", "", ())
    return RecipeNote(name, *_NOTES.get(name, ("A recipe of your own.", ())))
