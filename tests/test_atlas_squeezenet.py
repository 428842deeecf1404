"""The real thing, shortened: 24 class units of SqueezeNet, ten facets each, killed fifty times.

Takes the better part of an hour on two cores. Its parts, with a tiny network, are in
``test_atlas_kills.py`` and ``test_atlas_processes.py``.
"""

import os
import pathlib
import random
import signal
import subprocess
import sys

import pytest

from mfvjax.store import verify_run
from tests.conftest import DATA_DIR
from tests.test_atlas_kills import finish, no_strays, same_units

ROOT = pathlib.Path(__file__).parents[1]
WITH_MANY_IMAGES = (0, 497, 569, 574, 701)  # five classes of the pool have about 950 each
OTHERS = (1, 7, 22, 76, 130, 207, 281, 340, 404, 409, 498, 530, 620, 717, 780, 817, 945, 950, 980)
UNITS = [f"pool_final:{index}" for index in (*WITH_MANY_IMAGES, *OTHERS)]


def main(out):
    """Makes the atlas in this process; two steps of each phase."""
    from mfvjax.atlas import build_atlas
    from mfvjax.network import Network

    folder = DATA_DIR / "models/squeezenet_v1.0"
    network = Network.from_caffe(folder / "deploy.prototxt", folder / "squeezenet_v1.0.caffemodel")
    atlas = build_atlas(
        network, DATA_DIR / "images", units=UNITS, out=out, num_facets=10, step_fraction=0.005
    )
    print(atlas.by_class, len(atlas.made))


def start(out, cache):
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "tests.test_atlas_squeezenet", out],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_24_units_killed_at_fifty_random_moments(data_dir, tmp_path):
    assert finish(start(tmp_path / "whole", tmp_path / "cache")) == "5 24\n"
    out, rng, states = tmp_path / "atlas", random.Random(0), []
    for _ in range(50):
        names = os.listdir(out / "found") if (out / "found").is_dir() else []
        done = [p for p in out.glob("units/*") if p.name[0] != "."]
        # The pool is read in one go: a moment of the reading, or of what comes after it.
        longest = 300 if len(names) + len(done) < len(UNITS) else 40
        process = start(out, tmp_path / "cache")
        try:
            process.wait(timeout=rng.uniform(3, longest))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        done = [p for p in out.glob("units/*") if p.name[0] != "."]
        for path in done:
            verify_run(path)
        states.append(len(done))
    assert states == sorted(states)  # nothing that was finished is ever lost
    finish(start(out, tmp_path / "cache"))
    assert same_units(tmp_path / "whole", out) == 24
    no_strays(out)


if __name__ == "__main__":
    main(sys.argv[1])
