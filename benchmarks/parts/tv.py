"""TV denoising's share of a step, against scikit-image and torch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.candidates import gradient_of, our_tv, torch_tv, workload
from benchmarks.context import Context
from benchmarks.harness import interleaved, medians
from benchmarks.report import Table
from benchmarks.sweeps import Case, after_gradient, enough, scikit_image

FIDELITIES = (0.01, 0.05, 0.4, 2.0)
EQUAL_SWEEPS = 100


def run(context: Context) -> list[Table]:
    """Time to scikit-image's energy, and time of equally many sweeps."""
    images = step_images(context)
    tables = [_equal_sweeps(context, images)]
    if context.no_scikit_image is None:
        tables.insert(0, _equal_energy(context, images))
    return tables


def step_images(context: Context) -> np.ndarray:
    """Ten images (three, if quick) as the first step's TV gets them."""
    work = workload(context).first(3 if context.quick else 10)
    return after_gradient(work.starts, gradient_of(context, work.units)(work.starts), 1.0)


def _equal_energy(context: Context, images: np.ndarray) -> Table:
    rows = []
    for fidelity in FIDELITIES:
        case = Case.of(images, fidelity)
        ways: dict[str, Any] = {"mfvjax": our_tv}
        if context.no_torch is None:
            ways |= {name: torch_tv(context, name) for name in ("red-black", "chambolle-pock")}
        sweeps = {name: enough(way, [case]) for name, way in ways.items()}
        runs: dict[str, Callable[[], Any]] = {
            name: functools.partial(way, images, fidelity, sweeps[name])
            for name, way in ways.items()
        }
        runs["scikit-image"] = functools.partial(scikit_image, images, fidelity)
        seconds = medians(interleaved(runs, repeats=context.repeats))
        each = {name: 1e3 * value / len(images) for name, value in seconds.items()}
        ratio = f"{each['mfvjax'] / each['scikit-image']:.3f}"
        torch = [
            f"{each[n]:.3g} ({sweeps[n]})" if n in each else context.no_torch
            for n in ("red-black", "chambolle-pock")
        ]
        ours = f"{each['mfvjax']:.3g} ({sweeps['mfvjax']})"
        rows.append([f"fidelity {fidelity:g}", each["scikit-image"], *torch, ours, ratio])
    return Table(
        "TV to scikit-image's energy, ms per image (sweeps)",
        [
            "",
            "scikit-image",
            "torch, red-black",
            "torch, Chambolle-Pock",
            "mfvjax, isotropic",
            "mfvjax / scikit-image",
        ],
        rows,
        [
            f"{len(images)} images of the first step; scikit-image takes 100 sweeps, or fewer once "
            "one changes the image by 1e-3; the others the fewest after which no image's energy is "
            "above scikit-image's.",
        ],
    )


def _equal_sweeps(context: Context, images: np.ndarray) -> Table:
    fidelity, sweeps = 0.4, EQUAL_SWEEPS
    runs: dict[str, Callable[[], Any]] = {
        "mfvjax, isotropic": functools.partial(our_tv, images, fidelity, sweeps),
        "mfvjax, release's rule": functools.partial(
            our_tv, images, fidelity, sweeps, rule="scikit-image"
        ),
    }
    if context.no_scikit_image is None:
        runs["scikit-image"] = functools.partial(scikit_image, images, fidelity, sweeps, 0)
    if context.no_torch is None:
        names = {
            "torch, red-black": "red-black",
            "torch, Chambolle-Pock": "chambolle-pock",
            "torch, release's rule": "scikit-image",
        }
        for name, method in names.items():
            way = torch_tv(context, method)
            runs[name] = functools.partial(way, images, fidelity, sweeps)
    seconds = medians(interleaved(runs, repeats=context.repeats))
    base = seconds.get("scikit-image")
    rows = [
        [name, 1e6 * value / len(images) / sweeps, f"{value / base:.3f}" if base else None]
        for name, value in sorted(seconds.items(), key=lambda item: -item[1])
    ]
    for name, reason in (("scikit-image", context.no_scikit_image), ("torch", context.no_torch)):
        if reason is not None:
            rows.append([name, reason, None])
    return Table(
        f"TV, {sweeps} sweeps",
        ["", "microseconds per image and sweep", "times scikit-image"],
        rows,
        [f"{len(images)} images, fidelity {fidelity:g}, no stop."],
    )
