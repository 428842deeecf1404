"""The same atlas from any number of virtual devices and of processes that meet over loopback.

Every device runs the same program on as many facets, and a facet's random numbers are its own.
Pictures, activations and scores are equal bit for bit for any number of processes, and for any
number of devices from two on. For one device XLA compiles another program: its pictures agree with
those of several to 0.01 grey levels after the six steps taken here (measured: 0.0003).
"""

import os
import subprocess
import sys

import numpy as np
import pytest

from mfvjax.store import load_run
from tests import small_atlas
from tests.test_atlas_kills import finish, no_strays, same_units

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return small_atlas.paint_pool(tmp_path_factory.mktemp("pool"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def whole(pool, cache, tmp_path_factory):
    """Made by one process on one device."""
    out = tmp_path_factory.mktemp("whole") / "atlas"
    finish(small_atlas.start(out, pool, cache=cache))
    return out


@pytest.fixture(scope="module")
def two(pool, cache, tmp_path_factory):
    """Made by one process on two devices."""
    out = tmp_path_factory.mktemp("two") / "atlas"
    finish(small_atlas.start(out, pool, devices=2, cache=cache))
    return out


def test_one_device_and_two_agree_to_rounding(whole, two):
    for name in sorted(os.listdir(whole / "units")):
        one, other = load_run(whole / "units" / name), load_run(two / "units" / name)
        np.testing.assert_array_equal(one.real.map, other.real.map)
        np.testing.assert_array_equal(one.real.assignment, other.real.assignment)
        np.testing.assert_allclose(one.shown.images, other.shown.images, atol=0.01)
        np.testing.assert_allclose(one.shown.activations, other.shown.activations, atol=1e-4)
        for score in one.scores:
            np.testing.assert_allclose(one.scores[score], other.scores[score], atol=1e-4)


@pytest.mark.parametrize("devices", [4, 8])
def test_more_devices_give_the_atlas_of_two(devices, two, pool, cache, tmp_path):
    finish(small_atlas.start(tmp_path / "atlas", pool, devices=devices, cache=cache))
    assert same_units(two, tmp_path / "atlas") == 4
    no_strays(tmp_path / "atlas")


@pytest.mark.parametrize("count", [2, 4])
def test_any_number_of_processes_gives_the_same_atlas(count, whole, pool, cache, tmp_path):
    out, address = tmp_path / "atlas", f"127.0.0.1:{small_atlas.free_port()}"
    processes = [
        small_atlas.start(out, pool, share=f"{i + 1}/{count}", coordinator=address, cache=cache)
        for i in range(count)
    ]
    told = [finish(process) for process in processes]
    made = [line.split()[1:] for text in told for line in text.splitlines() if line[:4] == "made"]
    assert made == [[f"fc:{i}" for i in range(first, 4, count)] for first in range(count)]
    assert same_units(whole, out) == 4
    no_strays(out)


def test_shards_without_a_runtime_give_the_same_atlas(whole, pool, cache, tmp_path):
    for i in range(2):
        finish(small_atlas.start(tmp_path / "atlas", pool, share=f"{i + 1}/2", cache=cache))
    assert same_units(whole, tmp_path / "atlas") == 4


def test_others_that_do_not_come_are_waited_for_in_vain():
    code = (
        "from mfvjax.atlas import join_processes; import sys;"
        "join_processes(sys.argv[1], 2, 0, timeout_s=3)"
    )
    alone = subprocess.run(
        [sys.executable, "-c", code, f"127.0.0.1:{small_atlas.free_port()}"],
        cwd=small_atlas.ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert alone.returncode != 0
    assert "DEADLINE_EXCEEDED" in alone.stderr
