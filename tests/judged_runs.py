"""Made-up judgements and controls, for tests of the store and the report."""

import dataclasses

import numpy as np

from mfvjax.judgement import Judged, Judgement
from mfvjax.run import Controls
from tests.run_example import example_run

CONTROLS = {
    "start": "The untouched mean image.",
    "unit": "The unit without <b>statistics</b>.",
    "placebo": 'Statistics of "golf ball" & the unit.',
    "noise": "All of it, started from noise.",
}


def made_up_judged(count, *, rank, recall, seed=0, seen_as="bell pepper", with_class=True):
    """`count` pictures whose ranks are near `rank`, of which a share `recall` is recalled."""
    rng = np.random.default_rng(seed)
    nothing = np.full(count, np.nan)
    recalled = (np.arange(count) < round(recall * count)).astype(np.float64)
    return Judged(
        rank=rng.integers(1, 2 * rank, count).astype(np.float64) if with_class else nothing,
        probability=rng.uniform(0, 1 / rank, count) if with_class else nothing,
        recalled=recalled,
        margin=(recalled - 0.5) * rng.uniform(0, 1, count),
        percentile=rng.uniform(0, 100, count),
        seen_as=(seen_as,) * count,
    )


def made_up_judgement(run, name="other <net>", *, with_class=True, seed=0):
    """One judge's view of a run."""
    k = run.num_facets
    facets = np.nonzero(run.facets.nearest >= 0)[0]
    options = {"seed": seed, "with_class": with_class}
    of_controls = None
    if run.controls is not None:
        of_controls = made_up_judged(len(run.controls.names), rank=90, recall=0.5, **options)
    return Judgement(
        judge={
            "name": name,
            "fingerprint": f"{len(name) + seed:x}" * 32,
            "input_size": [64, 64],
            "code_layer": "pool",
            "num_classes": 1000,
        },
        class_index=17 if with_class else None,
        class_name="theater, <i>playhouse</i>" if with_class else "",
        class_by="by name" if with_class else "fc8:1 is no unit of a class",
        shown=made_up_judged(k, rank=2, recall=0.7, **options),
        start=made_up_judged(k, rank=400, recall=0.34, **options),
        real=made_up_judged(len(facets), rank=3, recall=0.6, **options),
        real_facets=facets,
        controls=of_controls,
    )


def made_up_controls(run, *, as_pictures=False):
    """Four controls in the place of the second facet."""
    rng = np.random.default_rng(3)
    images = run.shown.images[:1] + rng.normal(0, 40, (4, *run.shown.images.shape[1:]))
    images = images.clip(run.domain.low, run.domain.high).astype(np.float32)
    return Controls(
        names=tuple(CONTROLS),
        about=tuple(CONTROLS.values()),
        facet=min(1, run.num_facets - 1),
        images=run.domain.levels(images) if as_pictures else images,
        activations=np.array([3.5, 41, np.nan, 7.25], np.float32),
    )


def judged_run(*arguments, judges=("other <net>",), with_class=True, run=None, **options):
    """An example run with controls, judged."""
    run = example_run(*arguments, **options) if run is None else run
    run = dataclasses.replace(run, controls=made_up_controls(run))
    judgements = tuple(
        made_up_judgement(run, name, with_class=with_class, seed=seed)
        for seed, name in enumerate(judges)
    )
    return dataclasses.replace(run, judgements=judgements)
