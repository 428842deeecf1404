"""Which codes tell painted facets apart: activations, or their relevance to the unit?

    python -m benchmarks.facet_codes [--networks compact,compact-resnet] [--units 6]

Painted pictures have known facets. Two questions, each with the adjusted Rand index (1: as painted,
0: chance) between them and what is found in the codes:

* Class units, on the pictures of their own class, for the ten classes with several facets; k is the
  number that was painted. Codes of two layers: the network's own choice, and an early one.
* Hidden units, on the pictures of all classes that activate them most (their `TOP`); the truth is
  class and facet, k the number of those that have at least `LEAST` of the pictures. Units are the
  first of each layer that are awake on the pool and answer to at least two such facets.

Codes are divided twice: as the library does (PCA, t-SNE, k-means on the map), and by k-means on the
codes themselves (their first 50 components), as PURE does. The floor is the mean of random
divisions into parts of the sizes that the library found.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, Integer
from sklearn.metrics import adjusted_rand_score

from benchmarks.harness import RESULTS, write
from benchmarks.report import Table, fill_readme, print_table, tables_as_data
from mfvjax import facetworld
from mfvjax.facets.codes import CodeKind, compute_codes
from mfvjax.facets.grouping import GroupOptions, canonical_order, group_codes
from mfvjax.facets.relevance import layer_below
from mfvjax.facets.top import top_images
from mfvjax.facetworld.evaluate import facet_agreement
from mfvjax.images import ImageSource, SelectedSource
from mfvjax.network import Network
from mfvjax.pipeline.sources import PaintedSource

TOP, LEAST = 120, 6
"""Pictures of a hidden unit, and of them that a facet needs to count for k."""
LAYERS = {"compact": ("fc7", "conv2"), "compact-resnet": ("pool5", "res2")}
HIDDEN = {"compact": ("conv4", "conv5", "fc6"), "compact-resnet": ("conv4", "res4", "conv5")}
_DRAWS = 20
KINDS: tuple[CodeKind, ...] = ("activation", "relevance")


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Adjusted Rand indices with what was painted."""

    of_map: float
    of_codes: float
    floor: float


def agreement(
    network: Network,
    source: ImageSource,
    truth: Integer[np.ndarray, " n"],
    k: int,
    unit: str,
    code: CodeKind,
    code_layer: str,
) -> Agreement:
    """How the codes of a unit's images, divided into k, agree with the truth."""
    found = compute_codes(network, source, unit=unit, code=code, code_layer=code_layer)
    order = canonical_order(found.codes, found.activations, found.names)
    options = GroupOptions(num_facets=k, num_mean_images=1)
    (grouping,) = group_codes([found.codes], [order], options=options)
    rng = np.random.default_rng(0)
    drawn = [rng.permutation(grouping.assignment) for _ in range(_DRAWS)]
    return Agreement(
        float(adjusted_rand_score(truth, grouping.assignment)),
        facet_agreement(found.codes, truth.astype(np.int64), k),
        float(np.mean([adjusted_rand_score(truth, one) for one in drawn])),
    )


def of_classes(name: str) -> Iterator[dict[str, Any]]:
    """One row for each class with several facets, code layer and kind of code."""
    network = Network.load(name)
    for index, label in enumerate(facetworld.CLASSES):
        k = len(facetworld.FACETS[label])
        if k == 1:
            continue
        source = PaintedSource(label, size=min(network.input_size))
        unit = f"{network.logits_layer}:{index}"
        for layer in LAYERS[name]:
            for code in KINDS:
                found = agreement(network, source, source.truth, k, unit, code, layer)
                about = {"network": name, "class": label, "k": k, "layer": layer, "code": code}
                yield about | dataclasses.asdict(found)


def of_hidden(name: str, count: int) -> Iterator[dict[str, Any]]:
    """One row for each hidden unit and way: its own column, and the layer below, twice."""
    network = Network.load(name)
    pool = PaintedSource("all", size=min(network.input_size))
    painted = np.unique([text.rpartition("/")[0] for text in pool.names], return_inverse=True)[1]
    for layer in HIDDEN[name]:
        below = layer_below(network, layer)
        for unit, rows in _awake(network, pool, painted, layer, count):
            source, truth = SelectedSource(pool, rows), painted[rows]
            k = _num_facets(truth)
            ways: list[tuple[str, CodeKind]] = [
                (layer, "activation"),
                (below, "activation"),
                (below, "relevance"),
            ]
            for code_layer, code in ways:
                found = agreement(network, source, truth, k, unit, code, code_layer)
                about = {"network": name, "unit": unit, "k": k, "layer": code_layer, "code": code}
                yield about | {"own": code_layer == layer} | dataclasses.asdict(found)


def _awake(
    network: Network, pool: ImageSource, painted: Int[np.ndarray, " n"], layer: str, count: int
) -> list[tuple[str, Int[np.ndarray, " top"]]]:
    """The first units of a layer that have enough pictures of enough facets, and these pictures."""
    units = [f"{layer}:{index}" for index in range(network.layers[layer].num_units)]
    tops = top_images(network, pool, units=units, count=TOP, only_active=True)
    enough = [
        (unit, top.indices)
        for unit, top in zip(units, tops, strict=True)
        if len(top.indices) == TOP and _num_facets(painted[top.indices]) >= 2
    ]
    return enough[:count]


def _num_facets(truth: Int[np.ndarray, " n"]) -> int:
    """Painted facets that have at least `LEAST` of the pictures."""
    return int((np.bincount(truth) >= LEAST).sum())


def tables(classes: Sequence[dict[str, Any]], hidden: Sequence[dict[str, Any]]) -> list[Table]:
    """Means over the classes, and over the units."""
    of_classes = Table(
        "Class units: adjusted Rand index with the painted facets, mean of ten classes",
        ["network, code layer", "activations", "relevance", *_BESIDE],
        [
            [f"{name}, {layer}", *_cells(_where(classes, network=name, layer=layer))]
            for name, layer in dict.fromkeys((row["network"], row["layer"]) for row in classes)
        ],
        ["k as painted, 2 to 6. Left the library's way, on the map; right k-means on the codes."],
    )
    rows = []
    for name, layer in dict.fromkeys((r["network"], r["unit"].rpartition(":")[0]) for r in hidden):
        own = [r for r in _where(hidden, network=name) if r["unit"].startswith(f"{layer}:")]
        below = next(r["layer"] for r in own if not r["own"])
        column = _where(own, own=True)
        rows.append(
            [
                f"{name}, {layer} (below: {below}), {len(column)}",
                _mean(column, "of_map"),
                *_cells(_where(own, own=False))[:2],
                _mean(column, "of_codes"),
                *_cells(_where(own, own=False))[2:],
                _mean(column, "k"),
            ]
        )
    of_hidden = Table(
        "Hidden units: adjusted Rand index with class and facet, mean of the units",
        ["layer, units", *_OF_UNITS, *(f"{name}, k-means" for name in _OF_UNITS), "chance", "k"],
        rows,
        [
            f"The {TOP} pictures of all classes that activate a unit most; k facets have at least "
            f"{LEAST} of them. Own column: the plain code. Below: the mean over its whole map."
        ],
    )
    return [of_classes, of_hidden]


_BESIDE = ("activations, k-means", "relevance, k-means", "chance")
_OF_UNITS = ("own column", "below: activations", "relevance")


def _cells(rows: Sequence[dict[str, Any]]) -> list[float]:
    plain, relevance = (_where(rows, code=code) for code in KINDS)
    return [
        *(_mean(part, key) for key in ("of_map", "of_codes") for part in (plain, relevance)),
        _mean(rows, "floor"),
    ]


def _where(rows: Sequence[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def _mean(rows: Sequence[dict[str, Any]], key: str) -> float:
    return round(float(np.mean([row[key] for row in rows])), 3)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", default=",".join(LAYERS), help="of: " + ", ".join(LAYERS))
    parser.add_argument("--units", type=int, default=6, help="hidden units of each layer")
    args = parser.parse_args()
    names = args.networks.split(",")
    if unknown := set(names) - set(LAYERS):
        parser.error(f"no network {sorted(unknown)[0]!r}; there are {', '.join(LAYERS)}")
    classes = [row for name in names for row in of_classes(name)]
    hidden = [row for name in names for row in of_hidden(name, args.units)]
    shown = tables(classes, hidden)
    for one in shown:
        print_table(one)
    command = "python -m benchmarks.facet_codes"
    results = {"command": command, "tables": tables_as_data(shown)}
    print("written to", write("facet_codes", {**results, "classes": classes, "hidden": hidden}))
    fill_readme(RESULTS.parent / "README.md", RESULTS)


if __name__ == "__main__":
    main()
