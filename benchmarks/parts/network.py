"""The network's share of a step: forward and backward pass, against torch's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.candidates import NUM_FACETS, batched_torch, workload
from benchmarks.context import Context
from benchmarks.harness import interleaved, medians
from benchmarks.ours import Ours
from benchmarks.report import Table
from benchmarks.workload import start_images, without_tv

_STEPS = 4


def run(context: Context) -> list[Table]:
    """Activation of one class unit per image and its gradient by the pixels."""
    rows = []
    for batch in (1, 10) if context.device == "cpu" else (1, 10, 100):
        images = np.resize(start_images(context.network.input_size), (batch, *_shape(context)))
        runs: dict[str, Callable[[], Any]] = {"ours": our_pass(context, images)}
        if batch == NUM_FACETS:
            runs["inside"] = inside_the_ascent(context)
        if context.no_torch is None:
            runs["torch"] = torch_pass(context, images)
        seconds = medians(interleaved(runs, repeats=3 * context.repeats, warm_up=2))
        each = {name: 1e3 * value / batch for name, value in seconds.items()}
        ours, theirs = each["ours"], each.get("torch")
        ratio = f"{ours / theirs:.2f}" if theirs else context.no_torch
        rows.append([f"batch {batch}", ours, theirs or context.no_torch, ratio])
        if batch == NUM_FACETS:
            inside = 1e3 * seconds["inside"] / batch / _STEPS
            ratio = f"{inside / theirs:.2f}" if theirs else context.no_torch
            rows.append([f"batch {batch}, inside the ascent", inside, theirs, ratio])
    notes = [
        f"{context.network_name}, float32; gradients by the image only, as the ascent needs.",
        "Inside the ascent: steps of the compiled program without TV, so with crops, masks and "
        "writing back; on a processor it runs half of the facets on each half of the cores.",
    ]
    return [
        Table(
            "Network forward and backward, per image",
            ["", "mfvjax, ms", "torch, ms", "mfvjax / torch"],
            rows,
            notes,
        )
    ]


def inside_the_ascent(context: Context) -> Callable[[], Any]:
    """Ascent steps of ten facets without TV."""
    work = workload(context)
    phase = dataclasses.replace(without_tv(work.recipe.phases[0]), num_steps=_STEPS)
    ours = Ours(context.network)
    return lambda: ours.run_phase(work.starts, work.units, phase, 0)


def _shape(context: Context) -> tuple[int, int, int]:
    return (*context.network.input_size, 3)


def our_pass(context: Context, images: np.ndarray) -> Callable[[], Any]:
    """The library's pass, compiled; image i is read at class unit i."""
    import jax
    import jax.numpy as jnp

    network = context.network
    rows = np.arange(len(images))

    def climbed(images: jax.Array, params: Any) -> jax.Array:
        scores = network.read(params, images)[network.logits_layer]
        return scores.reshape(len(rows), -1)[rows, rows % 1000].sum()

    slope = jax.jit(jax.value_and_grad(climbed))
    placed = jnp.asarray(images)
    return lambda: jax.block_until_ready(slope(placed, network.params))


def torch_pass(context: Context, images: np.ndarray) -> Callable[[], Any]:
    """Torch's pass, as the batched peer runs it."""
    import torch

    peer = batched_torch(context, "chambolle-pock")
    placed = peer.to_device(images)
    units = torch.arange(len(images), device=peer.device) % 1000

    def run() -> None:
        peer.gradient(placed, units)
        if peer.device == "cuda":
            torch.cuda.synchronize()

    return run
