"""The README's figure: two ways to show the same facets, and what a second network says of each.

    python -m benchmarks.first_figure [--units fc8:6,fc8:9] [--out docs/facets.png]

Both networks are bundled and the real images are painted, so that the figure is ours to show.
"""

from __future__ import annotations

import argparse
import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mfvjax.judgement import Judged, Judgement
from mfvjax.judging import judge_run
from mfvjax.judging.pictures import shown_windows
from mfvjax.network import Network
from mfvjax.pipeline import run_unit
from mfvjax.pipeline.sources import painted_class
from mfvjax.run import Run

WAYS = {
    "the authors' way\n(release-mean-image)": "release-mean-image",
    "the default\n(facet-statistics)": None,
}
_CELL, _GAP, _TEXT, _MARGIN = 176, 8, 40, 190


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = pathlib.Path(__file__).parents[1] / "docs/facets.png"
    parser.add_argument("--units", default="fc8:6,fc8:9", help="of the bundled network, by commas")
    parser.add_argument("--judge", default="compact-resnet")
    parser.add_argument("--out", type=pathlib.Path, default=default)
    args = parser.parse_args()
    network, judge = Network.load("compact"), Network.load(args.judge)
    columns = []
    for unit in args.units.split(","):
        images = painted_class(network, unit)
        runs = [
            run_unit(network, images, unit=unit, num_facets="auto", recipe=recipe, controls=False)
            for recipe in WAYS.values()
        ]
        columns += facet_columns(runs, [judge_run(run, judge) for run in runs])
    draw(columns, ["mean image", *WAYS, "a real image\n(painted)"], args.judge).save(args.out)
    print("written to", args.out)


Column = list[tuple[np.ndarray, str]]
"""Pictures of one facet from top to bottom, and what is written under each."""


def facet_columns(runs: list[Run], judgements: list[Judgement]) -> list[Column]:
    """One column per facet: start, a picture of each run, a real image."""
    first, judged = runs[0], judgements[0]
    real_of = [np.flatnonzero(judged.real_facets == k)[0] for k in range(first.num_facets)]
    columns = []
    for k in range(first.num_facets):
        column = [(first.facets.mean_images[k], verdict(judged.start, k))]
        for run, judgement in zip(runs, judgements, strict=True):
            column.append((shown_windows(run)[k], verdict(judgement.shown, k)))
        column.append((first.facets.nearest_images[k, 0], verdict(judged.real, real_of[k])))
        columns.append(column)
    return columns


def verdict(judged: Judged, index: int) -> str:
    """The judge's first class, how sure it is of the right one, and whether it finds the facet."""
    facet = "own facet" if judged.recalled[index] else "another facet"
    return f"{judged.seen_as[index]}\n{judged.probability[index]:.0%} sure of it; {facet}"


def draw(columns: list[Column], titles: list[str], judge: str) -> Image.Image:
    """All columns side by side, titles at the left."""
    rows = len(columns[0])
    width = _MARGIN + len(columns) * (_CELL + _GAP)
    height = rows * (_CELL + _TEXT + _GAP) + 24
    sheet = Image.new("RGB", (width, height), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for row, title in enumerate(titles):
        top = row * (_CELL + _TEXT + _GAP)
        pen.multiline_text((8, top + _CELL // 2 - 12), title, "black", font)
        for number, column in enumerate(columns):
            left = _MARGIN + number * (_CELL + _GAP)
            image, text = column[row]
            levels = Image.fromarray(np.asarray(image).clip(0, 255).round().astype(np.uint8))
            sheet.paste(levels.resize((_CELL, _CELL), Image.Resampling.BICUBIC), (left, top))
            pen.multiline_text(
                (left + 2, top + _CELL + 3), text, "#444", ImageFont.load_default(12)
            )
    note = f"Under each picture: what the network {judge}, which had no part in it, takes it for."
    pen.text((8, height - 20), note, "#444", font)
    return sheet


if __name__ == "__main__":
    main()
