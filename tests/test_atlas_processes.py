"""The same atlas from any number of virtual devices and of processes that meet over loopback.

Tolerance: none. Every device runs the same program on as many facets, and a facet's random numbers
are its own, so that pictures, activations and scores are equal bit for bit.
"""

import os
import subprocess
import sys

import pytest

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


@pytest.mark.parametrize("devices", [2, 4, 8])
def test_any_number_of_devices_gives_the_same_atlas(devices, whole, pool, cache, tmp_path):
    finish(small_atlas.start(tmp_path / "atlas", pool, devices=devices, cache=cache))
    assert same_units(whole, tmp_path / "atlas") == 4
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
