"""Atlases whose processes are killed: nothing half done is ever left for good."""

import json
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
from tests.small_atlas import finish, free_port, no_strays, same_units, start

ROOT = pathlib.Path(__file__).parents[1]

# Forks children that publish units, with example runs for results, and kills them. No device of
# JAX is touched, so that a child costs milliseconds.
DRIVER = """
import dataclasses, json, os, pathlib, random, signal, sys, time
import mfvjax.atlas.folder
from mfvjax.atlas import AtlasFolder, AtlasPlan, write_index
from mfvjax.store import load_run
from tests.run_example import example_run
from tests.test_atlas_parts import make_plan

os.fsync = lambda descriptor: None  # slow, and a killed process loses nothing of the kernel's
mfvjax.atlas.folder.write_page = lambda run, path: path.write_text("<html>")  # slow
out = pathlib.Path(sys.argv[1]) / "atlas"
units = tuple(f"fc8:{i}" for i in range(8))
plan = make_plan(units)
runs = {}
for i, unit in enumerate(units):
    run = example_run(num_facets=2, num_images=8, image_size=16, seed=i)
    runs[unit] = dataclasses.replace(run, unit=unit, network={**run.network, **plan.network})


def work(told):
    with AtlasFolder(out, plan) as folder:
        folder.lock(units)
        missing, damaged = folder.check(units)
        assert not damaged, damaged
        for unit in missing:
            folder.found_path(unit).write_bytes(b"facets")
            folder.publish(unit, runs[unit])
            os.write(told, b"x")  # moments are counted from here, on a slow machine, too
        write_index(folder)
        folder.close()
        return len(missing)


def check():
    '''Every unit that is there is whole and its own; also before anything is tidied up.'''
    there = []
    names = plan.folders()
    for unit in units:
        if (out / "units" / names[unit]).exists():
            run = load_run(out / "units" / names[unit])
            assert run.unit == unit
            assert run.shown.images.tobytes() == runs[unit].shown.images.tobytes()
            there.append(unit)
    return len(there)


rng, seen, one_unit = random.Random(1), [], 0.0
for kill in range(50):
    if out.exists() and check() == len(units):
        import shutil
        shutil.rmtree(out)
    heard, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work(told)
        finally:
            os._exit(0)
    os.close(told)
    moments = [time.perf_counter()]
    for _ in range(kill % 4):
        if not os.read(heard, 1):  # all units are there
            break
        moments.append(time.perf_counter())
    if len(moments) > 2:
        one_unit = moments[-1] - moments[-2]
    time.sleep(rng.uniform(0, one_unit))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(heard)
    there = check() if out.exists() else 0
    hidden = [p.name for p in out.rglob(".*")] if out.exists() else []
    seen.append([there, len(hidden)])
work(os.open(os.devnull, os.O_WRONLY))
from jax._src import xla_bridge
assert not xla_bridge.backends_are_initialized()
print(json.dumps({"seen": seen, "end": check(), "all": sorted(os.listdir(out)),
                  "units": sorted(os.listdir(out / "units"))}))
"""


def test_killed_at_fifty_random_moments(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["seen"]) == 50
    # The kills did hit: some with units half written, some between units.
    assert sum(hidden > 0 for _, hidden in found["seen"]) >= 5
    assert len({there for there, _ in found["seen"]}) >= 4
    assert found["end"] == 8
    assert found["all"] == ["atlas.json", "atlas.lock", "index.html", "units"]
    assert found["units"] == [f"fc8-{i:04d}" for i in range(8)]


@pytest.mark.slow
def test_a_real_job_killed_fifty_times(process_atlas, small_pool, atlas_cache, tmp_path):
    out, rng, states = tmp_path / "atlas", random.Random(2), []
    started = time.perf_counter()
    finish(start(tmp_path / "timed", small_pool, cache=atlas_cache))
    duration = time.perf_counter() - started
    for _ in range(50):
        process = start(out, small_pool, cache=atlas_cache)
        time.sleep(rng.uniform(0.2, 1.0) * duration)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        names = os.listdir(out / "units") if (out / "units").is_dir() else []
        finished = [name for name in names if name[0] != "."]
        for name in finished:
            verify_run(out / "units" / name)
        states.append(len(finished))
        if len(finished) == 4:
            shutil.rmtree(out)
    finish(start(out, small_pool, cache=atlas_cache))
    assert len(set(states)) > 1  # the kills hit at different states
    assert same_units(process_atlas, out) == 4
    no_strays(out)


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 2])
def test_one_process_of_four_is_killed(lost, process_atlas, small_pool, atlas_cache, tmp_path):
    """Be it the first one, which the others met at: they finish, and a rerun completes."""
    out = tmp_path / "atlas"
    address = f"127.0.0.1:{free_port()}"
    processes = [
        start(out, small_pool, share=f"{i + 1}/4", coordinator=address, cache=atlas_cache)
        for i in range(4)
    ]
    assert processes[lost].stdout.readline() == f"share {lost + 1}/4\n"
    processes[lost].kill()
    for i, process in enumerate(processes):
        if i != lost:
            assert f"made fc:{i}" in finish(process)
    processes[lost].communicate()
    assert sorted(n for n in os.listdir(out / "units") if n[0] != ".") == [
        f"fc-000{i}" for i in range(4) if i != lost
    ]
    assert f"made fc:{lost}\n" in finish(start(out, small_pool, cache=atlas_cache))
    assert same_units(process_atlas, out) == 4
    no_strays(out)
