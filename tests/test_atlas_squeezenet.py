"""The real thing, shortened: 24 class units of SqueezeNet, ten facets each, killed fifty times.

Takes about half an hour on two cores. Its parts, with a tiny network, are in
``test_atlas_kills.py`` and ``test_atlas_processes.py``.
"""

import contextlib
import itertools
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from mfvjax.store import verify_run
from tests.small_atlas import finish, no_strays, same_units

ROOT = pathlib.Path(__file__).parents[1]
WITH_MANY_IMAGES = (0, 497, 498, 569, 574, 701)  # 498 has 150, the others about 950
OTHERS = (1, 7, 22, 76, 130, 207, 281, 340, 404, 409, 530, 620, 717, 780, 817, 945, 950, 980)
UNITS = [f"pool_final:{index}" for index in (*WITH_MANY_IMAGES, *OTHERS)]


def main(out, data):
    """Makes the atlas in this process, on one device; few steps of each phase."""
    from mfvjax.atlas import build_atlas
    from mfvjax.network import Network

    folder = pathlib.Path(data) / "models/squeezenet_v1.0"
    network = Network.from_caffe(folder / "deploy.prototxt", folder / "squeezenet_v1.0.caffemodel")
    atlas = build_atlas(
        network, f"{data}/images", units=UNITS, out=out, num_facets=10, step_fraction=0.005
    )
    print(atlas.by_class, len(atlas.made))


def start(out, cache, data):
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "tests.test_atlas_squeezenet", out, data],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def progress(out):
    """Blocks of the pass, units with facets, finished units; each unit's folder is whole."""
    done = [path for path in out.glob("units/*") if path.name[0] != "."]
    for path in done:
        verify_run(path)
    blocks, found = out.glob("passes/*/0*"), out.glob("found/*.npz")
    return len(list(blocks)), len(list(found)), len(done)


@pytest.mark.slow
def test_24_units_killed_at_fifty_random_moments(data_dir, tmp_path):
    whole, cache, out = tmp_path / "whole", tmp_path / "cache", tmp_path / "atlas"
    durations = []
    for _ in range(2):  # the second finds everything done: what a start takes
        started = time.perf_counter()
        told = finish(start(whole, cache, data_dir))
        durations.append(time.perf_counter() - started)
        assert told == ("6 24\n" if len(durations) == 1 else "0 0\n")
    between = (durations[0] - durations[1]) / 50
    rng, states = random.Random(0), []
    while len(states) < 50:
        process = start(out, cache, data_dir)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=rng.uniform(0.5, 1) * durations[1] + rng.uniform(0, 3) * between)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if process.returncode == -signal.SIGKILL:
            states.append(progress(out))
        else:  # finished before it was to be killed
            assert same_units(whole, out) == 24
            no_strays(out)
            shutil.rmtree(out)
    print(durations, states)
    blocks, found, finished = zip(*states, strict=True)
    assert len(set(states)) > 15
    assert min(len(set(blocks)), len(set(found)), len(set(finished))) > 3  # in every part of it
    # Nothing that was finished is ever lost, but where the atlas was begun anew.
    assert all(now >= before or now == 0 for before, now in itertools.pairwise(finished))
    finish(start(out, cache, data_dir))
    assert same_units(whole, out) == 24
    no_strays(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
