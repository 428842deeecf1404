"""PyTorch networks run by JAX, beside PyTorch: the same numbers, how fast, in how much memory?

    python -m benchmarks.torch_networks [--networks resnet18,vit_b_16] [--batch 8] [--repeats 5]

Architectures of torchvision with random weights, 224 pixels, read by `Network.from_torch`. Compared
are every named activation, the gradient of a class unit to the input, the time of that forward and
backward pass, and the memory of a process that does just that. Needs ``pip install ".[torch]"``.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.harness import RESULTS, header, interleaved, medians, watch_others, write
from benchmarks.report import Table, fill_readme, print_table, tables_as_data

NAMES = ("resnet18", "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny", "vit_b_16")
SIZE = (224, 224)
UNIT = 3
_STATUS, _RESET = pathlib.Path("/proc/self/status"), pathlib.Path("/proc/self/clear_refs")


def make(name: str) -> Any:
    """A module in inference mode whose weights and statistics hide nothing."""
    import torch
    import torchvision

    torch.manual_seed(0)
    module = torchvision.models.get_model(name, weights=None).eval()
    with torch.no_grad():
        for key, tensor in module.state_dict().items():
            if key.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
            elif tensor.is_floating_point() and tensor.abs().max() < 1e-3:
                tensor.normal_(0, 0.05)
    return module


def net_input(batch: int) -> np.ndarray:
    """Random, channels first."""
    return np.random.default_rng(0).normal(size=(batch, 3, *SIZE)).astype(np.float32)


def torch_pass(module: Any, argument: np.ndarray) -> Callable[[], np.ndarray]:
    """Gradient of the sum of a class unit to the input, by PyTorch."""
    import torch

    for parameter in module.parameters():
        parameter.requires_grad_(False)
    placed = torch.from_numpy(argument)

    def run() -> np.ndarray:
        images = placed.clone().requires_grad_()
        module(images)[:, UNIT].sum().backward()
        return images.grad.numpy()

    return run


def our_pass(module: Any, argument: np.ndarray) -> Callable[[], np.ndarray]:
    """The same by JAX, through torchax; compiled in its first call."""
    import jax
    import jax.numpy as jnp

    from mfvjax.network import Network

    network = Network.from_torch(module, input_size=SIZE)

    def total(images: Any, params: Any) -> Any:
        return network.forward(params, images)[network.logits_layer][:, UNIT].sum()

    slope = jax.jit(jax.grad(total))
    placed = jnp.asarray(argument.transpose(0, 2, 3, 1))
    return lambda: np.asarray(slope(placed, network.params)).transpose(0, 3, 1, 2)


def torch_activations(module: Any, argument: np.ndarray) -> dict[str, np.ndarray]:
    """What every submodule returned, by path; the first of a tuple, and the first call."""
    import torch

    found: dict[str, np.ndarray] = {}

    def hook(path: str) -> Callable[..., None]:
        def note(_module: Any, _arguments: Any, result: Any) -> None:
            tensor = result[0] if isinstance(result, tuple) else result
            found.setdefault(path, tensor.clone().numpy())

        return note

    handles = [part.register_forward_hook(hook(p)) for p, part in module.named_modules() if p]
    with torch.no_grad():
        module(torch.from_numpy(argument))
    for handle in handles:
        handle.remove()
    return found


def worst_layer(module: Any, argument: np.ndarray) -> tuple[int, float]:
    """Number of layers compared, and the largest difference by a layer's largest magnitude."""
    from mfvjax.network import Network

    network = Network.from_torch(module, input_size=SIZE)
    ours = network.activations(argument.transpose(0, 2, 3, 1))
    theirs = torch_activations(module, argument)
    worst = 0.0
    for name, reference in theirs.items():
        mine = np.asarray(ours[name])
        if mine.shape != reference.shape:
            mine = np.moveaxis(mine, -1, 1)
        worst = max(worst, float(np.abs(mine - reference).max() / np.abs(reference).max()))
    return len(theirs), worst


def peak_mib(make_pass: Callable[..., Any], name: str, batch: int) -> dict[str, float]:
    """Peak resident memory of this process during two passes, after one for what is compiled."""
    run = make_pass(make(name), net_input(batch))
    run()
    _RESET.write_text("5")  # forgets the peak so far
    for _ in range(2):
        run()
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return {"peak_mib": int(line.split()[1]) / 1024}


def alone(side: str, name: str, batch: int) -> float:
    """`peak_mib` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.torch_networks", "--alone", side]
    command += ["--networks", name, "--batch", str(batch)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])["peak_mib"]


def row(name: str, batch: int, repeats: int) -> list[Any]:
    """All that is measured of one network."""
    module, argument = make(name), net_input(batch)
    num_layers, worst = worst_layer(module, argument[:2])
    runs = {"ours": our_pass(module, argument), "torch": torch_pass(module, argument)}
    theirs, mine = runs["torch"](), runs["ours"]()
    gradient = float(np.abs(mine - theirs).max() / np.abs(theirs).max())
    seconds = {n: 1e3 * s / batch for n, s in medians(interleaved(runs, repeats=repeats)).items()}
    memory = {side: alone(side, name, batch) for side in runs}
    return [
        name,
        num_layers,
        f"{worst:.1e}",
        f"{gradient:.1e}",
        seconds["ours"],
        seconds["torch"],
        f"{seconds['ours'] / seconds['torch']:.2f}",
        memory["ours"],
        memory["torch"],
    ]


def table(rows: Sequence[Sequence[Any]], batch: int) -> Table:
    """As it is shown."""
    columns = ["", "layers", "worst layer", "gradient", "mfvjax, ms", "torch, ms", "mfvjax / torch"]
    return Table(
        "torchvision's networks by JAX and by PyTorch",
        [*columns, "mfvjax, MiB", "torch, MiB"],
        rows,
        [
            "Random weights, 224 pixels, float32. Worst layer and gradient: the largest difference "
            "by the largest magnitude. Times: forward and backward pass to the input, per image, "
            f"batch {batch}, compiled. MiB: peak of a process that does only that, after its first "
            "pass; both have imported torch, ours JAX as well.",
        ],
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints, and puts the table into the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.torch_networks")
    parser.add_argument("--networks", default=",".join(NAMES))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--alone", choices=("ours", "torch"), help=argparse.SUPPRESS)
    parser.add_argument("--no-write", action="store_true", help="only print")
    options = parser.parse_args(arguments)
    names = options.networks.split(",")
    if options.alone:
        make_pass = our_pass if options.alone == "ours" else torch_pass
        print(json.dumps(peak_mib(make_pass, names[0], options.batch)))
        return
    rows, started = [], time.perf_counter()
    with watch_others() as others:
        for name in names:
            rows.append(row(name, options.batch, options.repeats))
            print(f"{name}: {rows[-1]} ({time.perf_counter() - started:.0f} s)", flush=True)
    made = table(rows, options.batch)
    print_table(made)
    if not options.no_write:
        command = "python -m benchmarks.torch_networks"
        data = {"command": command, "tables": tables_as_data([made])}
        write("torch_networks", data, head={**header(), **others})
        for name in fill_readme(RESULTS.parent / "README.md", RESULTS):
            print(f"README.md has no place for {name}")


if __name__ == "__main__":
    main()
