"""Does each visualization show its own facet, by the truth of what was painted?

    python -m benchmarks.facet_recall [--ways facet-statistics,held,...] [--judge compact-resnet]

For every painted class with more than one facet, facets are found in the bundled network's codes
and visualized. What a picture should show is the painted facet that most of its facet's nearest
images have, not the cluster. What it shows is said by a judge, another network that learned from
other pictures: the painted facet whose reference pictures have the nearest mean embedding, and the
judge's best class. Beside the ways: chance, the untouched start (the mean images), and single
painted pictures that had no part in the references, the judge's ceiling.

Ways: `facet-statistics`, the default for this size (facet-statistics-small); `no-unit` and
`no-statistics`, the same with the statistics or the unit alone; `held`, `small-image` with the
holding term; `free`, the same without it (the paper's objective); `mean-image`, the authors'
numbers with it; `release`, the authors' recipe as they ran it, without it; `noise`, the default
but started from noise; `noise-free`, the unit alone from noise. Own scores are those of the network
that made the pictures: recall of its own clusters, and its activation over the largest of a real
image. Last come the distance of colors to the facet's real images, and seconds.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int, UInt8

from benchmarks.harness import write
from benchmarks.painted_truth import PaintedTruth, Seen, read
from benchmarks.report import Table, print_table
from mfvjax import facetworld, metrics
from mfvjax.ascent import visualize
from mfvjax.facets.discover import discover_facets
from mfvjax.facets.result import Facets
from mfvjax.network import Network
from mfvjax.objective import Objective
from mfvjax.pipeline import plan_ascent
from mfvjax.pipeline.scoring import center_crops
from mfvjax.pipeline.sources import PaintedSource
from mfvjax.recipe import Recipe
from mfvjax.recipes import UnitAndStatistics, UnitHeld, find_recipe


@dataclasses.dataclass(frozen=True)
class Way:
    """How facets are visualized: a recipe by name, its objective or another, and from where."""

    recipe_name: str
    objective: UnitHeld | UnitAndStatistics | None = None
    from_noise: bool = False

    @property
    def recipe(self) -> Recipe:
        """With the objective that is climbed."""
        recipe = find_recipe(self.recipe_name)
        return dataclasses.replace(recipe, objective=self.objective or recipe.objective)


_ALONE = UnitHeld(hold=0.0)
WAYS = {
    "facet-statistics": Way("facet-statistics-small"),
    "no-unit": Way("facet-statistics-small", UnitAndStatistics(unit=0.0)),
    "no-statistics": Way("facet-statistics-small", _ALONE),
    "held": Way("small-image"),
    "free": Way("small-image", _ALONE),
    "mean-image": Way("mean-image"),
    "release": Way("release-mean-image", _ALONE),
    "noise": Way("facet-statistics-small", from_noise=True),
    "noise-free": Way("facet-statistics-small", _ALONE, from_noise=True),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """A class, the facets found in it, the real images nearest to each, and what these show.

    Attributes:
      index: of the class.
      painted: ``(facets,)``, the painted facet that most of the nearest images have.
      purity: ``(facets,)``, their share.
    """

    index: int
    facets: Facets
    nearest_images: UInt8[np.ndarray, "k m h w 3"]
    painted: Int[np.ndarray, " k"]
    purity: Float[np.ndarray, " k"]


def find_subjects(network: Network, num_facets: str, classes: list[str]) -> list[Subject]:
    """The facets of every class; `num_facets` is "true" (as painted) or "auto"."""
    subjects = []
    for name in classes:
        source = PaintedSource(name, size=min(network.input_size))
        index = facetworld.CLASSES.index(name)
        k = len(facetworld.FACETS[name]) if num_facets == "true" else "auto"
        unit = f"{network.logits_layer}:{index}"
        facets = discover_facets(network, source, unit=unit, num_facets=k, seed=0)
        rows = np.where(facets.nearest >= 0, facets.indices[facets.nearest], -1)
        images = np.stack([np.stack([source.read(max(int(i), 0)) for i in row]) for row in rows])
        counts = np.stack([np.bincount(source.truth[row[row >= 0]], minlength=9) for row in rows])
        purity = counts.max(axis=1) / counts.sum(axis=1)
        subjects.append(Subject(index, facets, images, counts.argmax(axis=1), purity))
    return subjects


def show(
    network: Network, subjects: list[Subject], way: Way, step_fraction: float
) -> tuple[np.ndarray, float]:
    """All facets of all subjects, ``(facets, h, w, 3)`` center crops, and the seconds it took."""
    objectives: list[Objective] = []
    starts: list[np.ndarray] = []
    for subject in subjects:
        plan = plan_ascent(
            network,
            subject.facets,
            objective=way.recipe.objective,
            references=subject.nearest_images,
            seed=0,
            controls=False,
        )
        k = subject.facets.num_facets
        objectives += plan.objectives[:k]
        noise = np.random.default_rng(0).normal(175, 8, (k, *plan.starts.shape[1:]))
        starts += list(noise if way.from_noise else plan.starts[:k])
    recipe = way.recipe if step_fraction == 1 else way.recipe.shortened(step_fraction)
    started = time.perf_counter()
    result = visualize(
        network, objectives, np.stack(starts).astype(np.float32), recipe=recipe, key=0
    )
    return center_crops(result.images, network.input_size), time.perf_counter() - started


def own_scores(network: Network, subjects: list[Subject], images: np.ndarray) -> dict[str, float]:
    """What the network that made the pictures says of them; `images` are those of `show`."""
    codes, logits = read(network, images)
    hits, ratios, colors, first = [], [], [], 0
    for subject in subjects:
        k = subject.facets.num_facets
        own = slice(first, first + k)
        hits += list(
            metrics.facet_recall(codes[own], np.arange(k), subject.facets.code_centroids)[0]
        )
        ratios += list(logits[own, subject.index] / subject.facets.activations.max())
        colors += [
            metrics.color_distance(image, real)
            for image, real in zip(images[own], subject.nearest_images, strict=True)
        ]
        first += k
    return {
        "own_recall": float(np.mean(hits)),
        "own_activation": float(np.mean(ratios)),
        "color_distance": float(np.mean(colors)),
    }


def by_class(seen: Seen, class_index: Int[np.ndarray, " n"]) -> dict[str, Any]:
    """Right facets, right classes and facets of each class."""
    found = {}
    for index in np.unique(class_index):
        chosen = class_index == index
        found[facetworld.CLASSES[index]] = {
            "facets": int(chosen.sum()),
            "of_class": int(seen.of_class[chosen].sum()),
            "top1": int(seen.top1[chosen].sum()),
        }
    return found


def table_of(results: dict[str, dict[str, Any]], judge: str, num_facets: int) -> Table:
    """One row per way, start, ceiling and chance."""
    columns = {
        "of_class": "facet, of its class's",
        "of_all": "facet, of all",
        "top1": "class (top-1)",
        "margin": "margin",
        "own_recall": "own recall",
        "own_activation": "own activation / largest real",
        "color_distance": "color distance",
        "seconds": "s",
    }
    rows = [[name, *(total.get(key) for key in columns)] for name, total in results.items()]
    title = f"{num_facets} facets in the eyes of {judge}"
    return Table(title, ["", *columns.values()], rows)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    several = [name for name, facets in facetworld.FACETS.items() if len(facets) > 1]
    parser.add_argument("--steps", type=float, default=1.0, help="fraction of the recipe's steps")
    parser.add_argument("--ways", default=",".join(WAYS), help="of: " + ", ".join(WAYS))
    parser.add_argument("--facets", choices=("true", "auto"), default="true")
    parser.add_argument("--classes", default=",".join(several), help="names, by commas")
    parser.add_argument("--network", default="compact", help="that makes the pictures")
    parser.add_argument("--judge", default="compact-resnet", help="that looks at them")
    parser.add_argument("--pictures", help="file to write the pictures to, .npz")
    args = parser.parse_args()
    ways = args.ways.split(",")
    if unknown := set(ways) - set(WAYS):
        parser.error(f"no way {sorted(unknown)[0]!r}; there are {', '.join(WAYS)}")

    network, truth = Network.load(args.network), PaintedTruth.of(Network.load(args.judge))
    subjects = find_subjects(network, args.facets, args.classes.split(","))
    subjects = [subject for subject in subjects if subject.facets.num_facets > 1]
    class_index = np.repeat([s.index for s in subjects], [s.facets.num_facets for s in subjects])
    painted = np.concatenate([subject.painted for subject in subjects])
    starts = np.concatenate([subject.facets.mean_images for subject in subjects])
    start = truth.look(starts, class_index, painted)
    results: dict[str, dict[str, Any]] = {
        "ceiling: single painted pictures": truth.ceiling(class_index).summary(),
        "untouched start": start.summary() | own_scores(network, subjects, starts),
        "chance": truth.chance(class_index),
    }
    pictures = {"untouched start": starts}
    classes = {"untouched start": by_class(start, class_index)}
    for name in ways:
        images, seconds = show(network, subjects, WAYS[name], args.steps)
        seen, own = truth.look(images, class_index, painted), own_scores(network, subjects, images)
        results[name] = {**seen.summary(), **own, "seconds": seconds}
        classes[name], pictures[name] = by_class(seen, class_index), images
        jax.clear_caches()
        print_table(table_of({name: results[name]}, args.judge, len(painted)))
    print_table(table_of(results, args.judge, len(painted)))
    if args.pictures:
        np.savez_compressed(args.pictures, class_index=class_index, painted=painted, **pictures)
    settings = {key: value for key, value in vars(args).items() if key != "pictures"}
    settings["purity"] = float(np.mean(np.concatenate([s.purity for s in subjects])))
    found = {"settings": settings, "ways": results, "classes": classes}
    print("written to", write(f"facet_recall_{args.facets}", found))


if __name__ == "__main__":
    main()
