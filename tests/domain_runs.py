"""Made-up runs of images of any domain."""

import dataclasses

import numpy as np

from tests.report_runs import shown_run
from tests.run_example import PHASES


def scenes(domain, shape, size, seed=0):
    """Discs, or rising tones in spectrograms, on a soft ground: ``(*shape, *size, channels)``."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[: size[0], : size[1]]
    y, x = (row + 0.5) / size[0], (column + 0.5) / size[1]
    ends = rng.uniform(0, 0.25, (2, *shape, 1, 1, domain.channels))
    images = ends[0] + (ends[1] - ends[0]) * x[..., None]
    start, slope, weight = rng.uniform(0.1, 0.4, (3, *shape, 1, 1))
    if domain.kind == "spectrogram":
        near = np.abs(y - start - slope * x) < 0.08
    else:
        near = np.hypot(y - start - 0.2, x - slope - 0.2) < 0.25
    images = images + near[..., None] * (0.3 + weight[..., None])
    images = images + rng.uniform(0, 0.04, images.shape)
    return (domain.low + domain.span * images.clip(0, 1)).astype(np.float32)


def domain_run(domain, *, num_facets=3, num_shown=4, size=(8, 10), seed=0, **overrides):
    """A run whose images are of a domain; the last facet lacks one nearest image."""
    run = shown_run(num_facets, num_shown)
    num_images = len(run.real.names)
    nearest = run.facets.nearest.copy()
    nearest[-1, -1] = -1
    real = scenes(domain, (num_facets, num_shown), size, seed)
    real = np.rint(real).astype(np.uint8) if domain.is_8bit else real
    real[-1, -1] = domain.low
    phases = tuple(
        scenes(domain, (num_facets,), [round(side * scale) for side in size], seed + i)
        for i, (_, scale) in enumerate(PHASES)
    )
    small = scenes(domain, (num_images,), [min(*size, 48)] * 2, seed + 9)
    colorless = {n: v for n, v in run.scores.items() if domain.is_color or "color" not in n}
    return dataclasses.replace(
        run,
        network={**run.network, "input_size": list(size)},
        real=dataclasses.replace(run.real, thumbnails=domain.levels(small)),
        facets=dataclasses.replace(
            run.facets,
            nearest=nearest,
            nearest_images=real,
            mean_images=scenes(domain, (num_facets,), size, seed + 7),
        ),
        shown=dataclasses.replace(run.shown, images=phases[-1].copy(), phase_images=phases),
        scores=colorless,
        summary={**run.summary, "image_diversity": 12.5},
        domain=domain,
        **overrides,
    )
