"""Facets of hidden units with and without the image border, judged by a second network.

    python -m benchmarks.hidden_units [--units fire8/concat:200,...] [--pictures FOLDER]

For each unit of SqueezeNet the 60 of a thousand photographs (one of each ImageNet class) that
activate it most are divided into four facets, twice: read at the unit's strongest response
anywhere (``positions="all"``), and where its receptive field lies inside the image ("inside", the
default). Of the patches nearest to each facet's centroid, at most 15: the share of pixels beyond
the image; how many of the four facets are padding by more than a fifth of their pixels; the
agreement of facets between bootstraps of the images; and recall by MobileNet, the share of patches
nearest to their own facet's mean embedding, without themselves (chance 1/4).

A judge can tell facets of the border apart by their gray edge. So recall has two controls: by the
mask of the padding alone, and with each patch moved inside its image, where there is no gray.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.harness import write
from benchmarks.networks import NETWORKS, data_folder
from mfvjax import metrics
from mfvjax.facets import TopImages, load_patches, mean_color, top_images, unit_boxes
from mfvjax.facets.discover import discover_facets
from mfvjax.facets.patches import extract_patches
from mfvjax.facets.places import Positions
from mfvjax.facets.result import Facets
from mfvjax.images import ImageSource, ResizeRule, SelectedSource, load_images, open_images
from mfvjax.network import Network
from mfvjax.types import PixelBox

# Chosen by number, before anything was looked at; the first is the one that raised the question.
UNITS = (
    "fire8/concat:200",
    *(f"fire{fire}/concat:{index}" for fire in (5, 6, 7) for index in (100, 200)),
    "fire8/concat:100",
)
NUM_IMAGES, NUM_FACETS, NUM_NEAREST = 60, 4, 15
BORDER_SHARE = 0.2
WAYS: tuple[Positions, ...] = ("all", "inside")
COLUMNS = {
    "padding": "padding",
    "worst_padding": "of the worst facet",
    "border_facets": "border facets",
    "agreement": "agreement",
    "recall": "recall by judge",
    "recall_moved": "moved inside",
    "recall_by_padding": "by padding alone",
}


def find(network: Network, source: ImageSource, top: TopImages, positions: Positions) -> Facets:
    """The four facets of a unit among its top images; indices are into `source`."""
    selected = SelectedSource(source, top.indices)
    return discover_facets(
        network,
        selected,
        unit=top.unit,
        top_fraction="all",
        num_facets=NUM_FACETS,
        num_mean_images=NUM_NEAREST,
        positions=positions,
        seed=0,
    )


class Nearest:
    """The patches nearest to each centroid, as they are and moved inside their images.

    Attributes:
      facet: ``(n,)``, of each patch.
      patches, moved: ``(n, h, w, 3)``.
      valid: ``(n, h, w)``, pixels of `patches` that belong to the image.
    """

    facet: Int[np.ndarray, " n"]
    patches: UInt8[np.ndarray, "n h w 3"]
    valid: Bool[np.ndarray, "n h w"]
    moved: UInt8[np.ndarray, "n h w 3"]

    def __init__(self, network: Network, source: ImageSource, facets: Facets) -> None:
        rows = facets.nearest[facets.nearest >= 0]
        self.facet = np.repeat(np.arange(facets.num_facets), (facets.nearest >= 0).sum(1))
        assert facets.positions is not None
        where = facets.indices[rows], facets.positions[rows]
        self.patches, self.valid = load_patches(network, source, facets.unit, *where)
        images, _ = load_images(source, where[0], size=network.input_size)
        boxes = [
            moved_inside(box, network.input_size)
            for box in unit_boxes(network, facets.unit, where[1])
        ]
        self.moved, _ = extract_patches(images, boxes, fill=mean_color(network))

    @property
    def padding(self) -> Float[np.ndarray, " n"]:
        """The share of each patch that lies beyond its image."""
        return 1 - self.valid.mean((1, 2))


def moved_inside(box: PixelBox, size: tuple[int, int]) -> PixelBox:
    """The box moved as little as possible to lie inside an image of `size`, where it fits."""
    down, right = (
        max(-first, 0) - max(last - length, 0) if last - first <= length else 0
        for first, last, length in (
            (box.top, box.bottom, size[0]),
            (box.left, box.right, size[1]),
        )
    )
    return PixelBox(box.top + down, box.left + right, box.bottom + down, box.right + right)


def embed(judge: Network, patches: UInt8[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n d"]:
    """The judge's code layer, of patches resized to its input."""
    rule = ResizeRule(judge.input_size)
    layer = judge.code_layer(judge.logits_layer)
    resized = np.stack([rule.apply(patch.astype(np.float32)) for patch in patches])
    whole = np.zeros((NUM_FACETS * NUM_NEAREST, *resized.shape[1:]), np.float32)  # one program
    whole[: len(resized)] = resized
    return np.asarray(judge.activations(whole, layer)[layer])[: len(resized)]


def recall(codes: Float[np.ndarray, "n d"], facet: Int[np.ndarray, " n"]) -> float:
    """The share of patches nearest to their own facet's mean, which they have no part in."""
    hits, _ = metrics.leave_one_out_recall(codes, facet, num_facets=int(facet.max()) + 1)
    return float(np.nanmean(hits))


def compare(judge: Network, facets: Facets, nearest: Nearest) -> dict[str, Any]:
    """The figures of one unit, read in one way."""
    padding = nearest.padding
    shares = [float(padding[nearest.facet == k].mean()) for k in range(facets.num_facets)]
    small = nearest.valid[:, ::4, ::4].reshape(len(padding), -1)
    return {
        "images": len(facets.names),
        "sizes": facets.sizes.tolist(),
        "padding": float(padding.mean()),
        "padding_of_facets": shares,
        "worst_padding": max(shares),
        "border_facets": sum(share > BORDER_SHARE for share in shares),
        "agreement": float(facets.summary["agreement"]),
        "recall": recall(embed(judge, nearest.patches), nearest.facet),
        "recall_moved": recall(embed(judge, nearest.moved), nearest.facet),
        "recall_by_padding": None if small.all() else recall(small * 1.0, nearest.facet),
        "median_activation": float(np.median(facets.activations)),
    }


def montage(nearest: Nearest, columns: int = 10, side: int = 96) -> Image.Image:
    """A row of patches for each facet, largest facet on top."""
    num_rows = int(nearest.facet.max()) + 1
    sheet = Image.new("RGB", (columns * (side + 2), num_rows * (side + 2)), "white")
    for row in range(num_rows):
        for column, patch in enumerate(nearest.patches[nearest.facet == row][:columns]):
            picture = Image.fromarray(patch).resize((side, side))
            sheet.paste(picture, (column * (side + 2), row * (side + 2)))
    return sheet


def print_table(
    results: dict[str, dict[str, dict[str, Any]]],
) -> dict[str, dict[str, float | None]]:
    """One row per unit and way, and the means of each way, which are returned."""
    table = Table(title=f"{NUM_IMAGES} images, {NUM_FACETS} facets; chance {1 / NUM_FACETS:.2f}")
    for column in ("unit", "positions", *COLUMNS.values()):
        table.add_column(column, justify="left" if column in ("unit", "positions") else "right")
    for unit, by_way in results.items():
        for way in WAYS:
            table.add_row(unit, way, *(_shown(by_way[way][name]) for name in COLUMNS))
    means = {
        way: {name: _mean([one[way][name] for one in results.values()]) for name in COLUMNS}
        for way in WAYS
    }
    table.add_section()
    for way in WAYS:
        table.add_row("mean", way, *(_shown(means[way][name]) for name in COLUMNS))
    Console(width=140).print(table)
    return means


def _mean(values: list[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else None


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.2f}"


def run(
    network: Network,
    judge: Network,
    source: ImageSource,
    units: Sequence[str],
    pictures: pathlib.Path | None = None,
) -> dict[str, dict[str, dict[str, Any]]]:
    """All figures by unit, then by way; one pass over the images for each way."""
    results: dict[str, dict[str, dict[str, Any]]] = {unit: {} for unit in units}
    chosen: dict[str, set[int]] = {}
    for way in WAYS:
        tops = top_images(
            network, source, units=units, count=NUM_IMAGES, only_active=True, positions=way
        )
        for unit, top in zip(units, tops, strict=True):
            facets = find(network, source, top, way)
            nearest = Nearest(network, SelectedSource(source, top.indices), facets)
            results[unit][way] = compare(judge, facets, nearest)
            before = chosen.setdefault(unit, set(top.indices.tolist()))
            results[unit][way]["images_as_before"] = len(before & set(top.indices.tolist()))
            if pictures is not None:
                pictures.mkdir(parents=True, exist_ok=True)
                name = unit.replace("/", "_").replace(":", "-")
                montage(nearest).save(pictures / f"{name}_{way}.png")
            print(unit, way, results[unit][way], flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", default=",".join(UNITS), help="of SqueezeNet, by commas")
    parser.add_argument("--pictures", type=pathlib.Path, help="folder for montages of the patches")
    args = parser.parse_args()
    source = open_images(data_folder() / "images/one_per_class")
    results = run(
        NETWORKS["squeezenet"](),
        NETWORKS["mobilenet"](),
        source,
        args.units.split(","),
        args.pictures,
    )
    means = print_table(results)
    print("written to", write("hidden_units", {"means": means, "units": results}))


if __name__ == "__main__":
    main()
