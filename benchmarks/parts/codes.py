"""Codes of a folder of images: decoding, resizing and the network, in images per second."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.context import Context
from benchmarks.harness import interleaved, medians
from benchmarks.networks import data_folder
from benchmarks.report import Table
from mfvjax.facets.codes import compute_codes
from mfvjax.images import iterate_batches, open_images

_BATCH = 32


def run(context: Context) -> list[Table]:
    """The library, a torch loop with threads that decode, and decoding alone."""
    with tempfile.TemporaryDirectory() as folder:
        files, what = image_files(64 if context.quick else 192, pathlib.Path(folder))
        network = context.network
        unit = f"{network.logits_layer}:0"
        runs: dict[str, Callable[[], Any]] = {
            "mfvjax": lambda: compute_codes(network, files, unit=unit, batch_size=_BATCH),
            "mfvjax, decoding alone": lambda: _decode(files, network.input_size),
        }
        if context.no_torch is None:
            runs["torch"] = torch_codes(context, files)
        seconds = medians(interleaved(runs, repeats=context.repeats))
    rows: list[list[Any]] = [[name, len(files) / value] for name, value in seconds.items()]
    if context.no_torch is not None:
        rows.append(["torch", context.no_torch])
    layer = network.code_layer(network.logits_layer)
    note = (
        f"{context.network_name}, layer {layer}, {len(files)} {what}, batches of {_BATCH}; torch: "
        "Pillow in threads, the network up to the same layer without gradients."
    )
    return [Table("Codes of a folder", ["", "images per second"], rows, [note])]


def image_files(count: int, folder: pathlib.Path) -> tuple[list[str], str]:
    """Photographs from the folder of real data, or else JPEG files made in `folder`."""
    real = data_folder() / "images/one_per_class"
    found = sorted(str(path) for path in real.rglob("*.*"))[:count] if real.is_dir() else []
    if len(found) == count:
        return found, "photographs, shorter side 256"
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(count):
        small = Image.fromarray(rng.integers(0, 255, (40, 50, 3), np.uint8))
        small.resize((320, 256)).save(folder / f"{i:04d}.jpg", quality=90)
    return sorted(str(path) for path in folder.iterdir()), "made-up images of 320x256"


def _decode(files: Sequence[str], size: tuple[int, int]) -> None:
    for _ in iterate_batches(open_images(files), size=size, batch_size=_BATCH):
        pass


def torch_codes(context: Context, files: Sequence[str]) -> Callable[[], np.ndarray]:
    """What a torch user would write."""
    import torch

    from benchmarks.torch_network import TorchNetwork

    network = context.network
    layer = network.code_layer(network.logits_layer)
    read = TorchNetwork(network, device=context.torch_device, stop_at=layer)

    def load(file: str) -> np.ndarray:
        from PIL import Image

        height, width = network.input_size
        image = Image.open(file).convert("RGB")
        factor = max(height / image.height, width / image.width)
        size = (round(image.width * factor), round(image.height * factor))
        left, top = (size[0] - width) // 2, (size[1] - height) // 2
        image = image.resize(size).crop((left, top, left + width, top + height))
        return np.asarray(image).transpose(2, 0, 1)

    @torch.no_grad()
    def run() -> np.ndarray:
        codes = []
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            loaded = pool.map(load, files)
            for _ in range(0, len(files), _BATCH):
                batch = [one for _, one in zip(range(_BATCH), loaded, strict=False)]
                images = torch.from_numpy(np.stack(batch)).to(context.torch_device).float()
                found = read(images)[layer]
                codes.append((found.mean((2, 3)) if found.ndim == 4 else found).cpu().numpy())
        return np.concatenate(codes)

    return run
