"""Does each visualization show its own facet? All classes with known facets, by way of making it.

    python -m benchmarks.facet_recall [--steps 1.0] [--ways held,free,...] [--facets auto]

For every painted class with more than one facet, facets are found in the bundled network's codes
and visualized. Ways: `held`, the default for its size with the holding term; `free`, the same
without it (the paper's objective); `mean-image`, the authors' numbers with it; `release`, the
authors' recipe as they ran it, without it; `noise`, the default with the term but started from
noise; `noise-free`, from noise without it. Per way: facet recall (chance is one over the number of
facets), margin, distance of colors to the facet's real images, and activation as a fraction of the
real images' largest.
"""

from __future__ import annotations

import argparse
import dataclasses
import time

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.harness import write
from mfvjax import facetworld, metrics
from mfvjax.ascent import visualize
from mfvjax.facets.discover import discover_facets
from mfvjax.facets.result import Facets
from mfvjax.network import Network
from mfvjax.objective import Objective
from mfvjax.pipeline import plan_ascent
from mfvjax.pipeline.run_unit import DEFAULT_HOLD
from mfvjax.pipeline.scoring import center_crops
from mfvjax.pipeline.sources import PaintedSource
from mfvjax.recipes import find_recipe


@dataclasses.dataclass(frozen=True)
class Way:
    """How facets are visualized."""

    recipe: str = "small-image"
    hold: float = DEFAULT_HOLD
    from_noise: bool = False


WAYS = {
    "held": Way(),
    "free": Way(hold=0.0),
    "mean-image": Way("mean-image"),
    "release": Way("release-mean-image", hold=0.0),
    "noise": Way(from_noise=True),
    "noise-free": Way(hold=0.0, from_noise=True),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """A class, the facets found in it, and the real images nearest to each."""

    name: str
    facets: Facets
    nearest_images: list[np.ndarray]


def find_subjects(network: Network, num_facets: str, classes: list[str]) -> list[Subject]:
    """The facets of every class; `num_facets` is "true" (as painted) or "auto"."""
    subjects = []
    for name in classes:
        source = PaintedSource(name, size=min(network.input_size))
        unit = f"{network.logits_layer}:{facetworld.CLASSES.index(name)}"
        k = len(facetworld.FACETS[name]) if num_facets == "true" else "auto"
        facets = discover_facets(network, source, unit=unit, num_facets=k, seed=0)
        rows = [row[row >= 0] for row in facets.nearest]
        images = [np.stack([source.read(facets.indices[i]) for i in row]) for row in rows]
        subjects.append(Subject(name, facets, images))
    return subjects


def show(
    network: Network, subjects: list[Subject], way: Way, step_fraction: float
) -> tuple[np.ndarray, float]:
    """All facets of all subjects, ``(facets, h, w, 3)`` center crops, and the seconds it took."""
    objectives: list[Objective] = []
    starts: list[np.ndarray] = []
    for subject in subjects:
        plan = plan_ascent(network, subject.facets, hold=way.hold, seed=0)
        k = subject.facets.num_facets
        objectives += plan.objectives[:k]
        noise = np.random.default_rng(0).normal(175, 8, (k, *plan.starts.shape[1:]))
        starts += list(noise if way.from_noise else plan.starts[:k])
    recipe = find_recipe(way.recipe)
    if step_fraction < 1:
        recipe = recipe.shortened(step_fraction)
    started = time.perf_counter()
    result = visualize(
        network, objectives, np.stack(starts).astype(np.float32), recipe=recipe, key=0
    )
    return center_crops(result.images, network.input_size), time.perf_counter() - started


def judge(network: Network, subjects: list[Subject], images: np.ndarray) -> list[dict]:
    """One row per subject; `images` are those of `show`."""
    layer = network.code_layer(network.logits_layer)
    seen = network.activations(images, [layer, network.logits_layer])
    codes = np.asarray(seen[layer], np.float64)
    logits = np.asarray(seen[network.logits_layer], np.float64)
    rows, first = [], 0
    for subject in subjects:
        k = subject.facets.num_facets
        own = slice(first, first + k)
        hits, margin = metrics.facet_recall(codes[own], np.arange(k), subject.facets.code_centroids)
        colors = [
            metrics.color_distance(image, real)
            for image, real in zip(images[own], subject.nearest_images, strict=True)
        ]
        index = facetworld.CLASSES.index(subject.name)
        rows.append(
            {
                "class": subject.name,
                "facets": k,
                "recalled": int(np.sum(hits)),
                "margin": float(np.mean(margin)),
                "color_distance": float(np.mean(colors)),
                "activation_over_largest_real": float(
                    np.mean(logits[own, index]) / subject.facets.activations.max()
                ),
            }
        )
        first += k
    return rows


def totals(rows: list[dict]) -> dict:
    """Over all facets of all classes, each facet counting once."""
    weights = np.array([row["facets"] for row in rows], float)

    def mean(name: str) -> float:
        return float(np.average([row[name] for row in rows], weights=weights))

    return {
        "facets": int(weights.sum()),
        "recall": sum(row["recalled"] for row in rows) / float(weights.sum()),
        "chance": len(rows) / float(weights.sum()),
        **{n: mean(n) for n in ("margin", "color_distance", "activation_over_largest_real")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    several = [name for name, facets in facetworld.FACETS.items() if len(facets) > 1]
    parser.add_argument("--steps", type=float, default=1.0, help="fraction of the recipe's steps")
    parser.add_argument("--ways", default=",".join(WAYS), help="of: " + ", ".join(WAYS))
    parser.add_argument("--facets", choices=("true", "auto"), default="true")
    parser.add_argument("--classes", default=",".join(several), help="names, by commas")
    args = parser.parse_args()
    ways = args.ways.split(",")
    if unknown := set(ways) - set(WAYS):
        parser.error(f"no way {sorted(unknown)[0]!r}; there are {', '.join(WAYS)}")

    network = Network.load("compact")
    subjects = find_subjects(network, args.facets, args.classes.split(","))
    subjects = [subject for subject in subjects if subject.facets.num_facets > 1]
    results = {}
    table = Table(title=f"{sum(s.facets.num_facets for s in subjects)} facets")
    for column in ("way", "recall", "margin", "color distance", "activation / largest real", "s"):
        table.add_column(column, justify="right")
    for name in ways:
        images, seconds = show(network, subjects, WAYS[name], args.steps)
        rows = judge(network, subjects, images)
        total = totals(rows)
        results[name] = {"total": total, "classes": rows, "seconds": seconds}
        table.add_row(
            name,
            f"{total['recall']:.3f}",
            f"{total['margin']:.3f}",
            f"{total['color_distance']:.1f}",
            f"{total['activation_over_largest_real']:.2f}",
            f"{seconds:.0f}",
        )
        print(name, *(f"{r['class']} {r['recalled']}/{r['facets']}" for r in rows), sep="; ")
        jax.clear_caches()
    Console().print(table)
    settings = {"steps": args.steps, "facets": args.facets}
    print("written to", write(f"facet_recall_{args.facets}", {**settings, "ways": results}))


if __name__ == "__main__":
    main()
