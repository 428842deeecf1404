"""A small made-up run, with everything in it that is awkward to store and to show."""

import dataclasses

import numpy as np

from mfvjax.run import FacetImages, FacetRecords, RealImages, Run

NUM_SHOWN = 4  # m, images shown of each facet
NUM_CLASSES = 5
PHASES = ((20, 1.0), (15, 1.2), (10, 1.44))  # steps, canvas size in input sizes
AWKWARD_NAMES = (
    '<b>"x".jpg',
    "a & b/it's <script>alert(1)</script>.png",
    "größe/日本語 image.JPEG",
    "back\\slash\tand tab.jpg",
    "n01234567/" + "long_" * 30 + ".jpg",
)
AWKWARD_CLASSES = ('bell "pepper" & co', "<i>theater</i>", "pool table, billiard table", "çello")


def example_run(num_facets=3, num_images=30, image_size=32, seed=0, **overrides):
    """A run of `num_facets` facets; `overrides` replace fields of `Run`.

    The last facet has fewer than `NUM_SHOWN` nearest images; with more than one facet the second
    stopped early, so that its activations end in NaN and one of its scores is not defined.
    """
    rng = np.random.default_rng(seed)
    sizes = _sizes(num_facets, num_images)
    assignment = rng.permutation(np.repeat(np.arange(num_facets), sizes))
    run = Run(
        unit="fc8:1",
        title=AWKWARD_CLASSES[1],
        network={
            "name": 'tiny <net> & "friends"',
            "fingerprint": "0123456789abcdef" * 4,
            "input_size": [image_size, image_size],
            "code_layer": "fc7",
        },
        options={
            "num_facets": num_facets,
            "seed": seed,
            "schedule": "release-mean-image",
            "perplexity": 30.5,
            "images": "photos/<i>theater</i>",
            "precision": None,
            "phases": [{"num_steps": steps, "scale": scale} for steps, scale in PHASES],
        },
        versions={"python": "3.11.2", "mfvjax": "0.1.0", "jax": "0.10.2", "device": "cpu <0>"},
        timings={"codes": 1.25, "facets": 2.5, "ascent": 12.0625, "scores": 0.1},
        real=_real(rng, assignment, num_images, min(image_size, 48)),
        facets=_facets(rng, assignment, sizes, image_size),
        shown=_shown(rng, num_facets, image_size),
        scores=_scores(rng, num_facets),
        summary={"recall": 2 / 3, "diversity": 0.875, "stability": 0.9},
    )
    return dataclasses.replace(run, **overrides)


def _sizes(num_facets, num_images):
    """Shrinking sizes; the last facet has fewer images than are shown."""
    if num_facets == 1:
        return np.array([num_images])
    last = NUM_SHOWN - 1
    weights = np.arange(num_facets, 1, -1)
    sizes = np.maximum((num_images - last) * weights // weights.sum(), NUM_SHOWN)
    sizes[0] += num_images - last - sizes.sum()
    assert sizes[0] >= NUM_SHOWN, "too few images for so many facets"
    return np.append(sizes, last)


def _pictures(rng, count, size):
    """Smooth colored scenes with a disc: float32 ``(count, size, size, 3)`` in [0, 255]."""
    row, column = np.mgrid[:size, :size] / size
    ends = rng.uniform(0, 255, (2, count, 1, 1, 3))
    scenes = ends[0] * (1 - row)[..., None] + ends[1] * row[..., None]
    center = rng.uniform(0.3, 0.7, (2, count, 1, 1))
    inside = np.hypot(row - center[0], column - center[1]) < 0.22
    scenes = np.where(inside[..., None], rng.uniform(0, 255, (count, 1, 1, 3)), scenes)
    return np.clip(scenes + rng.normal(0, 4, scenes.shape), 0, 255).astype(np.float32)


def _real(rng, assignment, count, size):
    names = [f"theater/image_{i:04d}.jpg" for i in range(count)]
    names[: len(AWKWARD_NAMES)] = AWKWARD_NAMES[:count]
    angle = 2 * np.pi * assignment / (assignment.max() + 1)
    middle = 20 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return RealImages(
        names=tuple(names),
        activations=rng.normal(12, 3, count).astype(np.float32),
        map=(middle + rng.normal(0, 4, (count, 2))).astype(np.float32),
        assignment=assignment.astype(np.int32),
        thumbnails=_pictures(rng, count, size).astype(np.uint8),
    )


def _facets(rng, assignment, sizes, size):
    num_facets = len(sizes)
    nearest = np.full((num_facets, NUM_SHOWN), -1, np.int32)
    images = np.zeros((num_facets, NUM_SHOWN, size, size, 3), np.uint8)
    for facet in range(num_facets):
        members = np.flatnonzero(assignment == facet)[:NUM_SHOWN]
        nearest[facet, : len(members)] = members
        images[facet, : len(members)] = _pictures(rng, len(members), size)
    return FacetRecords(
        sizes=sizes.astype(np.int32),
        homogeneity=rng.uniform(0.2, 0.9, num_facets),
        centroids=rng.normal(0, 20, (num_facets, 2)),
        nearest=nearest,
        nearest_images=images,
        mean_images=_pictures(rng, num_facets, size),
    )


def _shown(rng, num_facets, size):
    steps = [steps for steps, _ in PHASES]
    phases = [_pictures(rng, num_facets, round(size * scale)) for _, scale in PHASES]
    activations = 40 * (1 - np.exp(-np.arange(sum(steps)) / 12)) + rng.normal(
        0, 1, (num_facets, sum(steps))
    )
    stopped_at = np.full(num_facets, -1, np.int32)
    if num_facets > 1:
        stopped_at[1] = steps[0] + 3
        activations[1, stopped_at[1] :] = np.nan
    top = np.stack([rng.permutation(NUM_CLASSES) for _ in range(num_facets)])
    names = (*AWKWARD_CLASSES, "plain")
    return FacetImages(
        images=phases[-1].copy(),
        phase_images=tuple(phases),
        phase_ends=tuple(np.cumsum(steps).tolist()),
        activations=activations.astype(np.float32),
        final_activations=rng.normal(40, 2, num_facets).astype(np.float32),
        top_classes=top.astype(np.int32),
        top_class_names=tuple(tuple(names[i] for i in row) for row in top),
        top_scores=-np.sort(-rng.normal(10, 5, (num_facets, NUM_CLASSES))).astype(np.float32),
        stopped_at=stopped_at,
    )


def _scores(rng, num_facets):
    percent = rng.uniform(0, 100, (2, num_facets))
    color = rng.uniform(5, 25, (2, num_facets))
    if num_facets > 1:
        color[:, 1] = np.nan
    return {
        "activation": rng.normal(40, 2, num_facets),
        "activation_percentile": percent[0],
        "facet_recall": (np.arange(num_facets) != 1).astype(np.float64),
        "facet_margin": rng.uniform(-1, 1, num_facets),
        "code_retention": percent[1],
        "color_distance": color[0],
        "color_distance_control": color[1] * 1.5,
        "gradient_area": rng.uniform(0.02, 0.3, num_facets),
        "gradient_spread": rng.uniform(0.05, 0.4, num_facets),
    }
