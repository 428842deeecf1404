"""Does another network recognize the pictures? Two real networks, five classes, ten facets each.

    python -m benchmarks.recognition                                # SqueezeNet, seen by MobileNet
    python -m benchmarks.recognition --target mobilenet --judge squeezenet
    python -m benchmarks.recognition --ways release,facet-statistics --classes tench

Facets of ImageNet classes are found in the target's codes, shown in several ways, and looked at by
the judge as 8-bit pictures: is the class its first guess, among its five first, and is its
embedding of a picture nearest to the mean of its own facet's photographs? Beside that stand the
untouched mean images and the photographs themselves: the class's rate, and the recall of single
photographs without their own share in the mean.

The recipe was tuned on golf ball and church: their table is apart. Work is kept in ``--work`` and
taken up again; montages of all pictures are written there, to be looked at.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import pathlib
import tempfile
import time
from collections.abc import Sequence

import numpy as np
from PIL import Image
from rich.progress import track

from benchmarks.harness import RESULTS, header, write
from benchmarks.networks import NETWORKS, data_folder
from benchmarks.recognition_ways import WAYS, Way
from benchmarks.report import Table, fill_readme, print_table, tables_as_data
from mfvjax import metrics
from mfvjax.ascent import visualize
from mfvjax.ascent.inputs import facet_keys
from mfvjax.domain import RGB
from mfvjax.facets.discover import discover_facets
from mfvjax.facets.result import Facets
from mfvjax.images import load_images, open_images
from mfvjax.judging.judge import embedding_layer
from mfvjax.judging.pictures import center_windows, for_judge
from mfvjax.network import Network
from mfvjax.types import Unit

CLASSES = {  # folder and unit of each
    "golf ball": ("n03445777", 574),
    "church": ("n03028079", 497),
    "tench": ("n01440764", 0),
    "garbage truck": ("n03417042", 569),
    "parachute": ("n03888257", 701),
}
TUNED_ON = ("golf ball", "church")
_BATCH = 32
_AT_ONCE = 5  # facets of one call, and of one file of kept work
_COLUMNS = (
    "way",
    "top-1",
    "top-5",
    "median rank",
    "facet recall",
    "activation / largest real",
    "at least the median photograph's",
    "processor s per facet",
)


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """A class: its facets, and what the judge sees in its photographs.

    Attributes:
      name: of the class.
      unit: of the target.
      index: of the judge's class.
      facets: found in the target's codes.
      references: ``(k, m, h, w, 3)``, the photographs nearest to each facet.
      codes: ``(n, d)``, the judge's, of all photographs.
      ranks: ``(n,)``, of the class, likewise.
    """

    name: str
    unit: Unit
    index: int
    facets: Facets
    references: np.ndarray
    codes: np.ndarray
    ranks: np.ndarray


@dataclasses.dataclass(frozen=True)
class Row:
    """Numbers of some pictures or photographs; see `_COLUMNS`."""

    top_1: float
    top_5: float
    median_rank: float
    recall: float
    activation: float
    above_median: float
    seconds: float | None


def find_subject(
    target: Network, judge: Network, name: str, num_facets: int, work: pathlib.Path
) -> Subject:
    """Facets and photographs of a class, from `work` where they are there."""
    folder, index = CLASSES[name]
    unit = Unit(target.logits_layer, index)
    source = open_images(str(data_folder() / "images/imagenette" / folder))
    kept = work / f"facets_{folder}_{num_facets}.npz"
    if kept.exists():
        facets = Facets.load(kept)
    else:
        facets = discover_facets(target, source, unit=unit, num_facets=num_facets)
        facets.save(kept)
    rows = facets.indices[facets.nearest]
    references, _ = load_images(source, rows.ravel(), size=target.input_size)
    seen = work / f"judged_{judge.fingerprint[:12]}_{folder}.npz"
    if not seen.exists():
        found = []
        for first in range(0, len(facets.indices), _BATCH):
            some = facets.indices[first : first + _BATCH]
            images, _ = load_images(source, some, size=judge.input_size)
            found.append(look(judge, images.astype(np.float32), index))
        np.savez(
            seen,
            codes=np.concatenate([c for c, _ in found]),
            ranks=np.concatenate([r for _, r in found]),
        )
    with np.load(seen) as arrays:
        codes, ranks = arrays["codes"], arrays["ranks"]
    shape = (*facets.nearest.shape, *references.shape[1:])
    return Subject(name, unit, index, facets, references.reshape(shape), codes, ranks)


def look(judge: Network, images: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
    """The judge's codes of images, and the rank of class `index`."""
    layer, logits = embedding_layer(judge), judge.logits_layer
    codes, ranks = [], []
    for first in range(0, len(images), _BATCH):
        some = images[first : first + _BATCH]
        fitted = for_judge(some, RGB, size=judge.input_size, judge_domain=RGB)
        filled = np.concatenate([fitted, fitted[-1:].repeat(_BATCH - len(some), axis=0)])
        seen = judge.activations(filled, [layer, logits])
        code = np.asarray(seen[layer], np.float64)[: len(some)]
        score = np.asarray(seen[logits], np.float64)[: len(some)]
        codes.append(code.reshape(len(code), -1, code.shape[-1]).mean(axis=1))
        ranks.append(metrics.class_ranks(score.reshape(len(score), -1), index))
    return np.concatenate(codes), np.concatenate(ranks)


def make(
    target: Network,
    way: Way,
    subject: Subject,
    others: np.ndarray,
    kept: str,
    num_first: int,
) -> tuple[np.ndarray, float]:
    """8-bit pictures of a class's first facets, and processor seconds per facet.

    Made `_AT_ONCE` at a time, and kept in files that begin with `kept`.
    """
    count = subject.facets.num_facets if way.is_all else num_first
    count = min(count, subject.facets.num_facets)
    plan = functools.cache(lambda: way.plan(target, subject.facets, subject.references, others))
    pictures, seconds = [], []
    for first in range(0, count, _AT_ONCE):
        last = min(first + _AT_ONCE, count)
        path = pathlib.Path(f"{kept}_{first}-{last}.npz")
        if not path.exists():
            objectives, starts = plan()
            recipe = way.recipe_for(target, subject.references)
            some = slice(first, last)
            keys = facet_keys(0, len(starts))[some]  # as in one call of all
            run = functools.partial(visualize, target, objectives[some], starts[some], key=keys)
            run(recipe=recipe.shortened(2 / recipe.num_steps))  # compiles
            started = time.process_time()
            canvases = run(recipe=recipe).images
            spent = (time.process_time() - started) / (last - first)
            images = center_windows(canvases, target.input_size).clip(0, 255).round()
            np.savez(path, images=images.astype(np.uint8), seconds=spent)
        with np.load(path) as arrays:
            pictures.append(arrays["images"])
            seconds.append(float(arrays["seconds"]))
    return np.concatenate(pictures), float(np.mean(seconds))


def alike(way: Way, images: np.ndarray, num_first: int) -> dict[str, np.ndarray]:
    """The lines of a way: of all its pictures, and of as many as the other ways have."""
    lines = {way.title: images}
    if len(images) > num_first:
        lines[f"{way.title}, the {num_first} largest facets"] = images[:num_first]
    return lines


def row_of(
    target: Network,
    judge: Network,
    subject: Subject,
    images: np.ndarray,
    seconds: float | None,
) -> Row:
    """What judge and target say of the pictures of a class's first facets."""
    codes, ranks = look(judge, images.astype(np.float32), subject.index)
    facets = subject.facets
    centroids = metrics.code_centroids(
        subject.codes, facets.assignment, num_facets=facets.num_facets
    )
    hits, _ = metrics.facet_recall(codes, np.arange(len(images)), centroids)
    seen = target.activations(images.astype(np.float32), subject.unit.layer)
    activations = np.asarray(seen[subject.unit.layer]).reshape(len(images), -1)
    own = activations[:, subject.unit.index]
    return Row(
        float(np.mean(ranks == 1)),
        float(np.mean(ranks <= 5)),
        float(np.median(ranks)),
        float(np.mean(hits)),
        float(np.mean(own) / facets.activations.max()),
        float(np.mean(own >= np.median(facets.activations))),
        seconds,
    )


def photographs(subject: Subject) -> Row:
    """The judge's ceiling: the class's own photographs, each without itself in its facet's mean."""
    facets = subject.facets
    hits, _ = metrics.leave_one_out_recall(
        subject.codes, facets.assignment, num_facets=facets.num_facets
    )
    ranks, activations = subject.ranks, facets.activations
    return Row(
        float(np.mean(ranks == 1)),
        float(np.mean(ranks <= 5)),
        float(np.median(ranks)),
        float(np.mean(hits)),
        float(np.mean(activations) / activations.max()),
        0.5,
        None,
    )


def mean_row(rows: Sequence[Row]) -> Row:
    """The mean over classes, of which all count alike; of ranks the median."""

    def of(name: str) -> float | None:
        values = [getattr(row, name) for row in rows]
        if None in values:
            return None
        return float(np.median(values) if name == "median_rank" else np.mean(values))

    return Row(**{field.name: of(field.name) for field in dataclasses.fields(Row)})  # type: ignore[arg-type]


def table(title: str, rows: dict[str, dict[str, Row]], classes: Sequence[str]) -> Table:
    """Ways by scores, over some of the classes."""
    lines = []
    for name, by_class in rows.items():
        of = [by_class[one] for one in classes if one in by_class]
        if len(of) == len(classes):
            lines.append([name, *dataclasses.astuple(mean_row(of))])
    return Table(title, _COLUMNS, lines)


def montage(
    target: Network, subject: Subject, made: dict[str, np.ndarray], path: pathlib.Path
) -> None:
    """Rows: the mean images, the nearest photographs, and the pictures of each way."""
    k = subject.facets.num_facets
    means = subject.facets.mean_images.clip(0, 255).astype(np.uint8)
    rows = [means, subject.references[:, 0].astype(np.uint8), *made.values()]
    blank = np.full((1, *target.input_size, 3), 255, np.uint8)
    filled = [np.concatenate([row, blank.repeat(k - len(row), axis=0)]) for row in rows]
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in filled])
    half = sheet.shape[1] // 2, sheet.shape[0] // 2
    Image.fromarray(sheet).resize(half, Image.Resampling.LANCZOS).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", default="squeezenet", choices=sorted(NETWORKS))
    parser.add_argument("--judge", default="mobilenet", choices=sorted(NETWORKS))
    parser.add_argument("--ways", default=",".join(WAYS), help="of: " + ", ".join(WAYS))
    parser.add_argument("--classes", default=",".join(CLASSES), help="of: " + ", ".join(CLASSES))
    parser.add_argument("--facets", type=int, default=10)
    parser.add_argument(
        "--first", type=int, default=5, help="facets shown in ways other than facet-statistics"
    )
    parser.add_argument("--work", type=pathlib.Path, help="folder for what is made, and montages")
    args = parser.parse_args()
    classes, ways = args.classes.split(","), args.ways.split(",")
    for wanted, known in ((classes, CLASSES), (ways, WAYS)):
        if unknown := sorted(set(wanted) - set(known)):
            parser.error(f"no {unknown[0]!r}; there are {', '.join(known)}")
    work = args.work or pathlib.Path(tempfile.gettempdir()) / f"mfvjax-recognition-{args.target}"
    work.mkdir(parents=True, exist_ok=True)
    target, judge = NETWORKS[args.target](), NETWORKS[args.judge]()

    subjects = [
        find_subject(target, judge, name, args.facets, work)
        for name in track(classes, "photographs")
    ]
    rows: dict[str, dict[str, Row]] = {"photographs": {}, "mean images, untouched": {}}
    made: dict[str, dict[str, np.ndarray]] = {subject.name: {} for subject in subjects}
    for subject in subjects:
        rows["photographs"][subject.name] = photographs(subject)
        means = subject.facets.mean_images.clip(0, 255).round()
        rows["mean images, untouched"][subject.name] = row_of(target, judge, subject, means, None)
    for name in ways:
        way = WAYS[name]
        for place, subject in enumerate(track(subjects, name)):
            others = subjects[(place + 1) % len(subjects)].references
            kept = f"{work / name}_{CLASSES[subject.name][0]}_{args.facets}"
            images, seconds = make(target, way, subject, others, kept, args.first)
            made[subject.name][name] = images
            for title, some in alike(way, images, args.first).items():
                row = row_of(target, judge, subject, some, seconds)
                rows.setdefault(title, {})[subject.name] = row
                print(f"{title}, {subject.name}: {row}", flush=True)
    for subject in subjects:
        montage(target, subject, made[subject.name], work / f"{subject.name}.png")

    untouched = [name for name in classes if name not in TUNED_ON]
    tuned = [name for name in classes if name in TUNED_ON]
    tables = [
        dataclasses.replace(table(f"{title}: {', '.join(names)}", rows, names), notes=notes)
        for title, names, notes in (
            ("Classes that nothing was tuned on", untouched, _notes(args)),
            ("Classes that the recipe was tuned on", tuned, ()),
        )
        if names
    ]
    for one in tables:
        print_table(one)
    detail = {way: {c: dataclasses.asdict(r) for c, r in of.items()} for way, of in rows.items()}
    command = f"python -m benchmarks.recognition --target {args.target} --judge {args.judge}"
    command += "" if ways == list(WAYS) else f" --ways {args.ways}"
    results = {"command": command, "tables": tables_as_data(tables), "classes": detail}
    print("montages in", work)
    if classes == list(CLASSES):
        print("written to", write(f"recognition_{args.target}", results, head=header()))
        fill_readme(RESULTS.parent / "README.md", RESULTS)


def _notes(args: argparse.Namespace) -> tuple[str, ...]:
    return (
        f"Target {args.target}, judge {args.judge}, {args.facets} facets of each class "
        f"(the {args.first} largest in ways other than facet-statistics). Means over classes; of "
        "ranks (of 1000) the median.",
        "Photographs: all of the class; their facet recall is that of single photographs, without "
        "their own share in their facet's mean. Chance of facet recall: "
        f"{1 / args.facets:.2f}.",
    )


if __name__ == "__main__":
    main()
