"""How a run's images look, whatever their domain, and what there is to say about it."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float32, Num, UInt8

from mfvjax.domain import RGB, Domain
from mfvjax.report.embed import resize
from mfvjax.run import Run
from mfvjax.store.pictures import look, look_of_levels, magma

LARGE = 192  # pixels: what is no photograph is enlarged until its shorter side has as many
_THUMBNAIL = 48
_RAMP_STEPS = 9


@dataclasses.dataclass(frozen=True)
class Legend:
    """What people should know of pictures that are no photographs.

    Attributes:
      note: what is seen, in a sentence or two.
      axes: names of the horizontal and the vertical axis; ``None`` where rows and columns are those
        of a picture, or of unknown meaning.
      low: what the darkest pixels stand for.
      high: what the brightest stand for.
      ramp: colors from the darkest to the brightest, as ``"#rrggbb"``, in even steps; none for
        grey, where words do.
    """

    note: str
    axes: tuple[str, str] | None
    low: str
    high: str
    ramp: tuple[str, ...]


def legend(domain: Domain) -> Legend | None:
    """The legend of images of a domain; ``None`` for RGB, which needs none."""
    if domain.is_color:
        return None
    steps = np.linspace(0, 255, 0 if domain.is_picture else _RAMP_STEPS).round().astype(np.uint8)
    low, high = (f"{end:g}".replace("-", "\N{MINUS SIGN}") for end in (domain.low, domain.high))
    return Legend(
        note=_note(domain, low, high),
        axes=("time", "frequency") if domain.kind == "spectrogram" else None,
        low=low,
        high=high,
        ramp=tuple("#{:02x}{:02x}{:02x}".format(*color) for color in magma()[steps].tolist()),
    )


def _note(domain: Domain, low: str, high: str) -> str:
    if domain.is_picture:
        return f"Images are grey: black is {low}, white is {high}."
    drawn = f"Images are of the kind {domain.kind}, drawn with row 0 at the top."
    if domain.kind == "spectrogram":
        drawn = (
            "Images are spectrograms: time runs to the right, frequency upward, with the lowest at "
            "the bottom."
        )
    if domain.channels > 1:
        drawn += f" The {domain.channels} channels of an image stand side by side, in rows."
    return drawn


def pictured(run: Run) -> Run:
    """The run with RGB pictures in [0, 255] in the place of its images, for people to look at.

    Photographs stay as they are. Other images get their `mfvjax.store.pictures.look`, and small
    ones are enlarged by a whole factor, so that their pixels are seen as they are.
    """
    if run.domain == RGB:
        return run
    facets, shown = run.facets, run.shown
    thumbnails = _enlarged(look_of_levels(run.real.thumbnails, run.domain), _THUMBNAIL)
    controls = run.controls
    if controls is not None:
        images = _floats(controls.images, run.domain)
        controls = dataclasses.replace(controls, images=images)
    return dataclasses.replace(
        run,
        real=dataclasses.replace(run.real, thumbnails=_square(thumbnails)),
        facets=dataclasses.replace(
            facets,
            nearest_images=_seen(facets.nearest_images, run.domain),
            mean_images=_floats(facets.mean_images, run.domain),
        ),
        shown=dataclasses.replace(
            shown,
            images=_floats(shown.images, run.domain),
            phase_images=tuple(_seen(images, run.domain) for images in shown.phase_images),
        ),
        controls=controls,
        domain=RGB,
    )


def _seen(
    images: Num[np.ndarray, "*b h w c"], domain: Domain
) -> UInt8[np.ndarray, "*b height width 3"]:
    pictures = look(images, domain)
    return pictures if domain.is_color else _enlarged(pictures, LARGE)


def _floats(
    images: Num[np.ndarray, "*b h w c"], domain: Domain
) -> Float32[np.ndarray, "*b height width 3"]:
    return _seen(images, domain).astype(np.float32)


def _enlarged(
    pictures: UInt8[np.ndarray, "*b h w 3"], least: int
) -> UInt8[np.ndarray, "*b height width 3"]:
    """Every pixel repeated, until the shorter side has at least so many."""
    factor = -(-least // min(pictures.shape[-3:-1]))
    return pictures.repeat(factor, axis=-3).repeat(factor, axis=-2)


def _square(pictures: UInt8[np.ndarray, "n h w 3"]) -> UInt8[np.ndarray, "n t t 3"]:
    """Stretched to squares, which channels side by side need not be."""
    side = max(pictures.shape[1:3])
    if pictures.shape[1] == pictures.shape[2]:
        return pictures
    return np.stack([resize(picture, (side, side)) for picture in pictures])
