"""What an atlas costs: per unit as their number grows, and beyond one device and one process.

    python -m benchmarks.atlas [--parts units,division] [--units 4,8,16,32,64]

The network is a small one with random weights, the pool random patches: what is measured is the
atlas, not the network. Each case runs in a process of its own, whose peak memory is its own;
programs are compiled before, into a cache that all share. Seconds are those of `build_atlas` alone,
from the first image read to the gallery; with several processes, those of the slowest.

Devices are virtual ones of one CPU: they show the overhead of dividing the work, not its gain.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import resource
import socket
import subprocess
import sys
import tempfile
import time

from benchmarks.harness import write

_NUM_IMAGES = 256
_FACETS = 3


def child(units: int, out: str, share: str, coordinator: str) -> None:
    """Makes one share of an atlas and prints its seconds and peak memory as JSON."""
    import jax
    import numpy as np
    from flax import nnx

    from mfvjax.atlas import Share, build_atlas, join_processes
    from mfvjax.network import Network
    from mfvjax.preprocess import Preprocessing
    from mfvjax.priors.projections import Clip
    from mfvjax.priors.tv_projection import TV
    from mfvjax.recipe import Phase, Recipe
    from mfvjax.updates import MeanAbsoluteStep
    from mfvjax.views import Crop

    part = Share.parse(share)
    if coordinator:
        part = join_processes(coordinator, part.count, part.index)

    class Small(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.conv = nnx.Conv(3, 16, (5, 5), strides=2, rngs=rngs)
            self.hidden = nnx.Linear(24 * 24 * 16, 64, rngs=rngs)
            self.fc = nnx.Linear(64, 64, rngs=rngs)

        def __call__(self, net_input: jax.Array) -> dict[str, jax.Array]:
            conv = nnx.relu(self.conv(net_input))
            hidden = nnx.tanh(self.hidden(conv.reshape(conv.shape[0], -1)))
            return {"conv": conv, "hidden": hidden, "fc": self.fc(hidden)}

    network = Network.from_nnx(
        Small(nnx.Rngs(0)),
        preprocessing=Preprocessing((48, 48), mean=(120.0, 120.0, 120.0), scale=1 / 64),
        logits_layer="fc",
    )
    projections = (Clip(), TV(0.5, num_sweeps=10))
    phase = Phase(40, MeanAbsoluteStep(4.0), Crop(0.3), projections)
    patches = np.random.default_rng(0).integers(0, 256, (_NUM_IMAGES, 6, 6, 3), np.uint8)
    images = patches.repeat(8, axis=1).repeat(8, axis=2)
    started = time.perf_counter()
    atlas = build_atlas(
        network,
        images,
        units=[f"fc:{i}" for i in range(units)],
        out=out,
        num_facets=_FACETS,
        num_mean_images=5,
        top_count=32,
        recipe=Recipe("benchmark", (phase,)),
        facets_per_device=_FACETS + 1,
        share=part,
    )
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "mib": peak, "made": len(atlas.made)}))


def run_case(units: int, devices: int, processes: int, cache: str) -> dict[str, float]:
    """One atlas; the seconds of the slowest process and the memory of the largest."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}" if processes > 1 else ""
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    with tempfile.TemporaryDirectory() as folder:
        running = [
            subprocess.Popen(
                [
                    sys.executable, "-m", "benchmarks.atlas", "--child", str(units),
                    str(pathlib.Path(folder) / "atlas"), f"{i + 1}/{processes}", address,
                ],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
            )
            for i in range(processes)
        ]  # fmt: skip
        told = [json.loads(process.communicate()[0].splitlines()[-1]) for process in running]
    assert sum(one["made"] for one in told) == units
    return {
        "units": units,
        "devices": devices,
        "processes": processes,
        "seconds": max(one["seconds"] for one in told),
        "peak_mib": max(one["mib"] for one in told),
    }


def measure(cases: list[tuple[int, int, int]]) -> list[dict[str, float]]:
    """One row per case, a triple of units, devices and processes."""
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        for devices in sorted({devices for _, devices, _ in cases}):
            run_case(4, devices, 1, cache)  # compiles what all numbers of units share
        for case in cases:
            rows.append(run_case(*case, cache))
            row = rows[-1]
            print(
                f"{row['units']:3d} units, {row['devices']} devices, {row['processes']} processes: "
                f"{row['seconds']:6.1f} s, {1e3 * row['seconds'] / row['units']:5.0f} ms per unit, "
                f"{row['peak_mib']:5.0f} MiB",
                flush=True,
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", default="4,8,16,32,64")
    parser.add_argument("--devices", default="1,2,4,8")
    parser.add_argument("--processes", default="1,2,4")
    parser.add_argument("--parts", default="units,division")
    parser.add_argument("--child", nargs=4)
    args = parser.parse_args()
    if args.child:
        units, out, share, coordinator = args.child
        child(int(units), out, share, coordinator)
        return
    if "units" in args.parts:
        rows = measure([(int(n), 1, 1) for n in args.units.split(",")])
        print("written to", write("atlas_units", {"rows": rows}))
    if "division" in args.parts:
        cases = [(16, int(n), 1) for n in args.devices.split(",")]
        cases += [(16, 1, int(n)) for n in args.processes.split(",")]
        rows = measure(list(dict.fromkeys(cases)))
        print("written to", write("atlas_division", {"rows": rows}))


if __name__ == "__main__":
    main()
