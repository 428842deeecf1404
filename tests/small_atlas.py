"""An atlas that takes seconds: a tiny network and a folder of small pictures in classes.

As a program, ``python -m tests.small_atlas OUT POOL SHARE``, it makes one in a process of its own.
"""

import functools
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np

IMAGES_PER_CLASS = 24
SIZE = 24
CLASS_IDS = tuple(f"class_{index}" for index in range(7))
ROOT = pathlib.Path(__file__).parents[1]
OPTIONS = {
    "num_facets": 2,
    "num_mean_images": 5,
    "hold": 1.0,
    "facets_per_device": 3,
    "class_ids": CLASS_IDS,
}


def schedule():
    """Two phases of few steps, the second on a larger canvas; quick to compile."""
    from mfvjax.schedule import Phase, Schedule

    common = {"num_steps": 3, "fidelity": 0.5, "offset_std": 0.3, "num_sweeps": 4}
    phases = Phase(step_size=8.0, **common), Phase(step_size=2.0, scale=1.2, **common)
    return Schedule("small", phases)


def paint_pool(folder, *, images_per_class=IMAGES_PER_CLASS):
    """Pictures of two kinds in each of three class folders; the other classes have none."""
    from PIL import Image

    rng = np.random.default_rng(5)
    row, column = np.mgrid[:SIZE, :SIZE] / SIZE
    for number in range(3):
        (folder / f"class_{number}").mkdir(parents=True)
        for index in range(images_per_class):
            stripes = np.sin(2 * np.pi * (2 + number) * (row if index % 2 else column))
            color = np.array([60, 100, 40]) * (1 if index % 2 else -1)
            image = 128 + stripes[..., None] * color + rng.normal(0, 20, (SIZE, SIZE, 3))
            levels = image.clip(0, 255).astype(np.uint8)
            Image.fromarray(levels).save(folder / f"class_{number}" / f"{index:02d}.png")
    return folder


def build(out, pool, units=("fc:0", "fc:1", "fc:2", "fc:3"), network=None, **changes):
    """The atlas of some units of the tiny network, two facets each."""
    from mfvjax.atlas import build_atlas

    options = {**OPTIONS, "schedule": schedule(), **changes}
    return build_atlas(network or shared_network(), pool, units=units, out=out, **options)


@functools.cache
def shared_network():
    """One object, so that calls share compiled programs."""
    from tests.tiny_network import tiny_network

    return tiny_network()


def start(out, pool, *, share="1/1", units="", devices=1, coordinator="", cache=None):
    """The same in a new process, which is returned at once."""
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }
    if cache is not None:  # compiled programs are kept between processes
        environment["JAX_COMPILATION_CACHE_DIR"] = str(cache)
        environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        environment["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    return subprocess.Popen(
        [sys.executable, "-m", "tests.small_atlas", out, pool, share, units, coordinator],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_port():
    """A port of this machine that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def main():
    from mfvjax.atlas import Share, join_processes

    out, pool, share, units, coordinator = sys.argv[1:]
    part = Share.parse(share)
    if coordinator:
        part = join_processes(coordinator, part.count, part.index, timeout_s=60)
        print("share", part, flush=True)
    options = {"units": units.split(",")} if units else {}
    atlas = build(out, pool, share=part, progress=report, **options)
    print("made", *atlas.made, flush=True)


def report(step, done, total):
    """Tells the parent how far it is."""
    if step == "units":
        print(step, done, total, flush=True)


if __name__ == "__main__":
    main()
