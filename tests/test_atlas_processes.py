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
from tests.small_atlas import ROOT, finish, free_port, no_strays, same_units, start

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def two(small_pool, atlas_cache, tmp_path_factory):
    """Made by one process on two devices."""
    out = tmp_path_factory.mktemp("two") / "atlas"
    finish(start(out, small_pool, devices=2, cache=atlas_cache))
    return out


def test_one_device_and_two_agree_to_rounding(process_atlas, two):
    for name in sorted(os.listdir(process_atlas / "units")):
        one, other = load_run(process_atlas / "units" / name), load_run(two / "units" / name)
        np.testing.assert_array_equal(one.real.map, other.real.map)
        np.testing.assert_array_equal(one.real.assignment, other.real.assignment)
        np.testing.assert_allclose(one.shown.images, other.shown.images, atol=0.01)
        np.testing.assert_allclose(one.shown.activations, other.shown.activations, atol=1e-4)
        for score in one.scores:
            np.testing.assert_allclose(one.scores[score], other.scores[score], atol=1e-4)


@pytest.mark.parametrize("devices", [4, 8])
def test_more_devices_give_the_atlas_of_two(devices, two, small_pool, atlas_cache, tmp_path):
    finish(start(tmp_path / "atlas", small_pool, devices=devices, cache=atlas_cache))
    assert same_units(two, tmp_path / "atlas") == 4
    no_strays(tmp_path / "atlas")


@pytest.mark.parametrize("count", [2, 4])
def test_any_number_of_processes_gives_the_same_atlas(
    count, process_atlas, small_pool, atlas_cache, tmp_path
):
    out, address = tmp_path / "atlas", f"127.0.0.1:{free_port()}"
    processes = [
        start(out, small_pool, share=f"{i + 1}/{count}", coordinator=address, cache=atlas_cache)
        for i in range(count)
    ]
    told = [finish(process) for process in processes]
    made = [line.split()[1:] for text in told for line in text.splitlines() if line[:4] == "made"]
    assert made == [[f"fc:{i}" for i in range(first, 4, count)] for first in range(count)]
    assert same_units(process_atlas, out) == 4
    no_strays(out)


def test_shards_without_a_runtime_give_the_same_atlas(
    process_atlas, small_pool, atlas_cache, tmp_path
):
    for i in range(2):
        finish(start(tmp_path / "atlas", small_pool, share=f"{i + 1}/2", cache=atlas_cache))
    assert same_units(process_atlas, tmp_path / "atlas") == 4


def test_others_that_do_not_come_are_waited_for_in_vain():
    code = (
        "from mfvjax.atlas import join_processes; import sys;"
        "join_processes(sys.argv[1], 2, 0, timeout_s=3)"
    )
    alone = subprocess.run(
        [sys.executable, "-c", code, f"127.0.0.1:{free_port()}"],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert alone.returncode != 0
    assert "DEADLINE_EXCEEDED" in alone.stderr
