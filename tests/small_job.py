"""A run of the main job that takes seconds: two painted facets, few steps."""

import functools

from mfvjax.pipeline import run_unit

SMALL_JOB = {
    "network": "compact",
    "images": "facetworld:pool table",
    "unit": "fc8:2",
    "num_facets": 2,
    "recipe": "small-image",
    "step_fraction": 0.25,
}


@functools.cache
def small_run(**changes):
    """The run with options changed; made once for the same changes."""
    return run_unit(**{**SMALL_JOB, **changes})
