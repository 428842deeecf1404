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
UNITS = ("fc:0", "fc:1", "fc:2", "fc:3")
FOLDERS = ["fc-0000", "fc-0001", "fc-0002", "fc-0003"]
CLASS_IDS = tuple(f"class_{index}" for index in range(7))
ROOT = pathlib.Path(__file__).parents[1]
OPTIONS = {
    "num_facets": 2,
    "num_mean_images": 5,
    "hold": 1.0,
    "facets_per_device": 3,
    "class_ids": CLASS_IDS,
}


def recipe():
    """Two phases of few steps, the second on a larger canvas; quick to compile."""
    from mfvjax.priors.projections import Clip
    from mfvjax.priors.tv_projection import TV
    from mfvjax.recipe import Phase, Recipe
    from mfvjax.updates import MeanAbsoluteStep

    common = {"num_steps": 3, "projections": (Clip(), TV(0.5, num_sweeps=4))}
    phases = (
        Phase(update=MeanAbsoluteStep(8.0), **common),
        Phase(update=MeanAbsoluteStep(2.0), scale=1.2, **common),
    )
    return Recipe("small", phases)


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


def build(out, pool, units=UNITS, network=None, **changes):
    """The atlas of some units of the tiny network, two facets each."""
    from mfvjax.atlas import build_atlas

    options = {**OPTIONS, "recipe": recipe(), **changes}
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


def finish(process):
    """What a process printed, once it has ended well."""
    out, error = process.communicate(timeout=600)
    assert process.returncode == 0, error
    return out


def same_units(one, other, names=None):
    """The number of units, after it was seen that they are whole, and equal bit for bit.

    Args:
      one: folder of an atlas.
      other: folder of another.
      names: of the units' folders; by default all, and both must have the same.
    """
    from mfvjax.store import load_run, verify_run

    if names is None:
        names = sorted(os.listdir(one / "units"))
        assert names == sorted(os.listdir(other / "units"))
    for name in names:
        verify_run(other / "units" / name)
        a, b = load_run(one / "units" / name), load_run(other / "units" / name)
        assert (a.unit, a.title, a.options) == (b.unit, b.title, b.options)
        assert a.shown.images.tobytes() == b.shown.images.tobytes()
        assert a.shown.activations.tobytes() == b.shown.activations.tobytes()
        assert a.real.map.tobytes() == b.real.map.tobytes()
        assert {k: v.tobytes() for k, v in a.scores.items()} == {
            k: v.tobytes() for k, v in b.scores.items()
        }
        assert _files(one / "units" / name) == _files(other / "units" / name)
    return len(names)


def _files(folder):
    """The files below a folder that are the same each time, with their bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("run.json", "report.html")
    }


def no_strays(out):
    """A finished atlas has nothing but its units, plan, locks and gallery."""
    assert sorted(os.listdir(out)) == ["atlas.json", "atlas.lock", "index.html", "units"]
    assert not list(out.rglob(".*"))
    assert (out / "atlas.lock").stat().st_size == 0


def free_port():
    """A port of this machine that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def main():
    import mfvjax.atlas.passes
    from mfvjax.atlas import Share, join_processes

    mfvjax.atlas.passes.BLOCK_IMAGES = 16  # of 72
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
