"""The main job on a vision transformer: class units and a unit of its tokens, judged by a CNN.

    python -m benchmarks.transformer [--work DIR] [--steps 600]

Trains a small transformer on painted pictures (`benchmarks.small_transformer`; kept in ``--work``),
finds and shows the facets of some of its units, and asks the bundled convolutional network what it
sees, beside the untouched starts, the real pictures and chance. Pages of the runs are left in
``--work``, to be looked at.
"""

from __future__ import annotations

import argparse
import pathlib
import tempfile
from typing import Any

import numpy as np
from rich.progress import track

from benchmarks import small_transformer
from benchmarks.harness import RESULTS, write
from benchmarks.report import Table, fill_readme, print_table, tables_as_data
from mfvjax import judge_run, run_unit, save_run, with_judgement, write_page
from mfvjax.facetworld.catalog import FACETS
from mfvjax.facetworld.world import dataset
from mfvjax.network import Network
from mfvjax.run import Run

CLASSES = ("balloon", "convertible", "bell pepper", "beacon")
TOKENS = ("block2:7", "block2:40")
JUDGE = "compact"
_TRAINING_SEED, _TEST_SEED = 3, 1_000_003  # as `mfvjax.facetworld.train` paints its test pictures
_COLUMNS = (
    "unit",
    "facets",
    "top-1",
    "of starts",
    "of real",
    "facet recall",
    "of starts",
    "of real",
    "chance",
    "activation / largest real",
)


def trained(work: pathlib.Path, num_steps: int, per_facet: int) -> Network:
    """The transformer, trained or as it was left in `work`."""
    kept = work / f"transformer_{num_steps}_{per_facet}.safetensors"
    names = tuple(FACETS)
    if not kept.exists():
        world = dataset(per_facet, seed=_TRAINING_SEED)
        steps = small_transformer.train(world, num_steps=num_steps)
        for _, _, latest in track(steps, "training", total=num_steps):
            params = latest
        small_transformer.save(params, kept)
    return small_transformer.network(small_transformer.load(kept), names)


def accuracy(network: Network, per_facet: int = 10) -> float:
    """Share of new painted pictures whose class is first."""
    world = dataset(per_facet, seed=_TEST_SEED)
    right = []
    for first in range(0, len(world.images), 64):
        some = slice(first, first + 64)
        logits = np.asarray(network.activations(world.images[some], "logits")["logits"])
        right += list(logits.argmax(axis=1) == world.class_index[some])
    return float(np.mean(right))


def show(network: Network, unit: str, images: str, num_facets: int, **options: Any) -> Run:
    """The judged run of a unit."""
    run = run_unit(network, images, unit=unit, num_facets=num_facets, controls=False, **options)
    return with_judgement(run, judge_run(run, JUDGE))


def row(name: str, run: Run) -> list[str | int | float | None]:
    """A line of the table; nothing where the judge has no class for the unit."""
    (judgement,) = run.judgements
    seen = judgement.summary
    ratio = float(np.mean(run.scores["activation_ratio"]))
    line: list[str | int | float | None] = [name, run.num_facets]
    for key in ("top_1", "recall"):
        values = [seen[part][key] for part in ("shown", "start", "real")]
        line += [value if np.isfinite(value) else None for value in values]
    return [*line, judgement.chance["recall"], ratio]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=pathlib.Path, help="folder for weights and pages")
    parser.add_argument("--steps", type=int, default=600, help="of training")
    parser.add_argument("--pictures", type=int, default=120, help="of each facet, to train on")
    args = parser.parse_args()
    work = args.work or pathlib.Path(tempfile.gettempdir()) / "mfvjax-transformer"
    work.mkdir(parents=True, exist_ok=True)
    network = trained(work, args.steps, args.pictures)
    right = accuracy(network)

    jobs: list[tuple[str, str, str, int, dict[str, Any]]] = [
        (f"{name} (class unit)", f"logits:{list(FACETS).index(name)}", name, len(FACETS[name]), {})
        for name in CLASSES
    ]
    jobs += [(f"{unit} (tokens)", unit, "all", 4, {"top_fraction": 0.05}) for unit in TOKENS]
    lines = []
    for title, unit, images, num_facets, options in track(jobs, "units"):
        run = show(network, unit, f"facetworld:{images}", num_facets, **options)
        folder = work / unit.replace(":", "-")
        save_run(run, folder, overwrite=True)
        write_page(run, folder / "report.html")
        lines.append(row(title, run))
    table = Table(
        "A vision transformer, seen by a convolutional network",
        _COLUMNS,
        lines,
        notes=(
            f"Trained in {args.steps} steps on painted pictures, {right:.3f} of new ones right. "
            f"The judge is `{JUDGE}`; real: the pictures nearest to the facets' centers, single.",
        ),
    )
    print_table(table)
    print("pages in", work)
    results = {
        "command": "python -m benchmarks.transformer",
        "accuracy": right,
        "tables": tables_as_data([table]),
    }
    print("written to", write("transformer", results))
    fill_readme(RESULTS.parent / "README.md", RESULTS)


if __name__ == "__main__":
    main()
