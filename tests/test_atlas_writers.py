"""Processes that write units: the same folders, errors that arrive, and no process left behind."""

import os
import signal
import subprocess
import sys
import time

import jax
import pytest

from mfvjax.atlas.folder import AtlasFolder
from mfvjax.atlas.writers import Writers
from mfvjax.store import verify_run
from tests.run_example import example_run
from tests.small_atlas import ROOT, UNITS, build, no_strays, same_units
from tests.test_atlas_parts import make_plan


def test_units_that_processes_write_are_the_same(whole_atlas, small_pool, tmp_path):
    steps = []
    out = tmp_path / "atlas"
    atlas = build(
        out,
        small_pool,
        devices=jax.devices("cpu")[:1],
        writers=2,
        progress=lambda *step: steps.append(step),
    )
    assert sorted(atlas.made) == list(UNITS)
    assert [step for step in steps if step[0] == "units"] == [("units", n, 4) for n in (1, 2, 3, 4)]
    assert same_units(whole_atlas[0], out) == 4
    no_strays(out)


@pytest.fixture
def folder(tmp_path):
    with AtlasFolder(tmp_path / "atlas", make_plan(("fc8:0", "fc8:1"))) as folder:
        yield folder


def test_what_goes_wrong_in_a_process_is_raised_here(folder):
    (folder.path / "units").rmdir()
    (folder.path / "units").write_text("in the way")
    with Writers(folder, 1) as writers:
        writing = [*writers.publish("fc8:0", example_run)]
        with pytest.raises(OSError, match="units"):
            writing.extend(writers.rest())
    assert writing == []


def test_a_process_that_is_lost_is_reported(folder):
    with Writers(folder, 1) as writers:
        written = [*writers.publish("fc8:0", example_run), *writers.rest()]
        assert written == ["fc8:0"]
        (lost,) = writers._started
        lost._process.kill()
        with pytest.raises(RuntimeError, match=r"ended \(exit code -9\) while it wrote .*fc8-0001"):
            [*writers.publish("fc8:1", example_run), *writers.rest()]
    assert os.listdir(folder.path / "units") == ["fc8-0000"]


def test_a_number_of_processes_is_checked(folder):
    with pytest.raises(ValueError, match="writers=-1 must be a number of processes"):
        Writers(folder, -1)


WRITE = """
import pathlib, sys, time
from mfvjax.atlas.folder import AtlasFolder
from mfvjax.atlas.writers import Writers
from tests.run_example import example_run
from tests.test_atlas_parts import make_plan
folder = AtlasFolder(pathlib.Path(sys.argv[1]), make_plan())
writers = Writers(folder, 1)
list(writers.publish("fc8:0", example_run))
print(writers._started[0]._process.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_process_outlives_the_one_that_started_it_by_one_unit(tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-c", WRITE, tmp_path / "atlas"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    writer = int(parent.stdout.readline())
    units, deadline = tmp_path / "atlas" / "units", time.monotonic() + 60
    while time.monotonic() < deadline and not list(units.glob("*fc8-0000*")):
        time.sleep(0.001)  # until it is being written
    os.killpg(parent.pid, signal.SIGKILL)  # a terminal's signals go to groups, too
    parent.communicate()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and is_running(writer):
        time.sleep(0.1)
    assert not is_running(writer)
    assert os.listdir(units) == ["fc8-0000"]
    verify_run(units / "fc8-0000")


def is_running(pid):
    """Whether there is such a process; one that nobody has asked for its end counts as ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
