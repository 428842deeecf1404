"""Processes killed while they save: no half-written run is ever taken for a whole one."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from mfvjax.store import NotARunError, claims, is_finished, load_run, save_run
from tests.run_example import example_run

ROOT = pathlib.Path(__file__).parents[1]

# Forks children that save, kills them, and looks at what is left. A process of its own, without
# JAX and its threads, so that a child costs milliseconds.
DRIVER = '''
import json, os, pathlib, random, signal, sys, time
from mfvjax.store import NotARunError, claims, is_finished, load_run, save_run
from tests.run_example import example_run

os.fsync = lambda descriptor: None  # slow, and a killed process loses nothing of the kernel's
folder = pathlib.Path(sys.argv[1]) / "run"
runs = {t: example_run(num_facets=1, num_images=5, image_size=8, title=t) for t in "abc"}
save_run(runs["a"], folder)  # warm: imports and caches


def spawn(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


def state(expected):
    """What is at the path; a run must be one of `expected`, whole."""
    try:
        run = load_run(folder)
    except NotARunError as error:
        assert not is_finished(folder)
        return "aside" if "former run is whole in" in str(error) else "none"
    assert run.title in expected, run.title
    good = runs[run.title]
    assert run.shown.images.tobytes() == good.shown.images.tobytes()
    assert run.facets.nearest_images.tobytes() == good.facets.nearest_images.tobytes()
    assert run.scores.keys() == good.scores.keys()
    return run.title


def beside():
    names = (path.name for path in folder.parent.iterdir() if path != folder)
    return sorted(name.split(".")[2].split("-")[0] for name in names)


def clear():
    import shutil
    for path in folder.parent.iterdir():
        shutil.rmtree(path)


def report(seen):
    assert "jax" not in sys.modules
    print(json.dumps(seen))
'''

# A child tells of each save that it has done: moments are counted from there, so that a machine
# that is slow for a while has them fall into saves, too.
RANDOM_MOMENTS = """
def save_for_ever(told):
    while True:
        for title in "bc":
            save_run(runs[title], folder, overwrite=True)
            os.write(told, b"x")

rng, seen = random.Random(0), []
for kill in range(50):
    if kill % 5 == 0:
        clear()
    heard, told = os.pipe()
    child, moments = spawn(lambda: save_for_ever(told)), [time.perf_counter()]
    os.close(told)
    for _ in range(kill % 3):
        assert os.read(heard, 1) == b"x"
        moments.append(time.perf_counter())
    if len(moments) > 1:
        one_save = moments[-1] - moments[-2]
    time.sleep(rng.uniform(0, one_save) if kill else 0)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(heard)
    seen.append([state("bc"), beside()])
save_run(runs["a"], folder, overwrite=True)
report({"seen": seen, "end": state("a"), "beside": beside()})
"""

EVERY_STEP = """
def save_and_die(step, title):
    count = 0
    def hook(event, _):
        nonlocal count
        if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.listdir"):
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    save_run(runs[title], folder, overwrite=True)

seen = []
for step in range(1, 1000):
    clear()
    if sys.argv[2] == "overwrite":
        save_run(runs["a"], folder)
    child = spawn(lambda: save_and_die(step, "b"))
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
    before, left = state("ab"), beside()
    save_run(runs["c"], folder, overwrite=True)
    assert state("c") == "c" and beside() == []
    seen.append([before, left])
report({"seen": seen, "end": state("b"), "beside": beside()})
"""


def drive(script, folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", DRIVER + script, str(folder), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_killed_at_fifty_random_moments(tmp_path):
    found = drive(RANDOM_MOMENTS, tmp_path)
    assert len(found["seen"]) == 50
    # The kills did hit: some in the middle of writing, some after a run was there.
    assert sum("writing" in beside for _, beside in found["seen"]) >= 5
    assert {state for state, _ in found["seen"]} >= {"b", "c"}
    assert (found["end"], found["beside"]) == ("a", [])


@pytest.mark.parametrize("case", ["new", "overwrite"])
def test_killed_at_every_step_of_a_save(case, tmp_path):
    found = drive(EVERY_STEP, tmp_path, case)
    states = [state for state, _ in found["seen"]]
    assert len(states) > 20
    if case == "new":
        assert set(states) == {"none", "b"}
        assert states == sorted(states, key=["none", "b"].index)
    else:  # the old run, for one step the old run set aside, then the new one
        assert set(states) == {"a", "aside", "b"}
        assert states == sorted(states, key=["a", "aside", "b"].index)
        assert found["seen"][states.index("aside")][1] == ["replaced", "writing"]
    assert (found["end"], found["beside"]) == ("b", [])


@pytest.fixture
def dead_folder(tmp_path):
    """What a killed process left beside ``tmp_path/run``."""
    path = claims.new_name(tmp_path / "run", claims.WRITING)
    path.mkdir()
    (path / "arrays.npz").write_bytes(b"half")
    return path


def test_the_next_save_clears_what_dead_processes_left(dead_folder, tmp_path):
    neighbor = tmp_path / ".run2.writing-1-a"  # of a run with a similar name
    neighbor.mkdir()
    save_run(example_run(), tmp_path / "run")
    assert sorted(os.listdir(tmp_path)) == [neighbor.name, "run"]


def test_the_folder_of_a_living_process_stays(dead_folder, tmp_path):
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, fcntl, os; d = os.open(sys.argv[1], os.O_RDONLY);"
            "fcntl.flock(d, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()",
            str(dead_folder),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout.readline() == b"held\n"
    save_run(example_run(), tmp_path / "run")
    assert dead_folder.exists()
    holder.communicate()
    save_run(example_run(), tmp_path / "run", overwrite=True)
    assert not dead_folder.exists()


def test_without_locks_nothing_is_cleaned(dead_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "fcntl", None)
    save_run(example_run(title="old"), tmp_path / "run")
    save_run(example_run(title="new"), tmp_path / "run", overwrite=True)
    assert load_run(tmp_path / "run").title == "new"
    assert sorted(os.listdir(tmp_path)) == [dead_folder.name, "run"]


def test_a_run_set_aside_is_named_and_put_back(tmp_path):
    save_run(example_run(title="old"), tmp_path / "run")
    aside = claims.new_name(tmp_path / "run", claims.REPLACED)
    (tmp_path / "run").rename(aside)
    with pytest.raises(NotARunError, match=rf"The former run is whole in .*{aside.name}; rename"):
        load_run(tmp_path / "run")
    with pytest.raises(FileExistsError, match="holds a finished run"):
        save_run(example_run(title="new"), tmp_path / "run")
    assert load_run(tmp_path / "run").title == "old"
    assert not aside.exists()


def test_half_of_a_run_set_aside_is_not_put_back(tmp_path):
    save_run(example_run(title="old"), tmp_path / "run")
    aside = claims.new_name(tmp_path / "run", claims.REPLACED)
    (tmp_path / "run").rename(aside)
    (aside / "arrays.npz").unlink()
    with pytest.raises(NotARunError, match=r"run does not exist$"):
        load_run(tmp_path / "run")
    save_run(example_run(title="new"), tmp_path / "run")
    assert load_run(tmp_path / "run").title == "new"
    assert os.listdir(tmp_path) == ["run"]


def test_a_failed_second_rename_puts_the_old_run_back(tmp_path, monkeypatch):
    save_run(example_run(title="old"), tmp_path / "run")
    rename, calls = os.rename, []

    def fail_second(source, target):
        calls.append(source)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_second)
    with pytest.raises(OSError, match=r"writing into .* failed: .*Input/output error"):
        save_run(example_run(title="new"), tmp_path / "run", overwrite=True)
    assert load_run(tmp_path / "run").title == "old"
    assert os.listdir(tmp_path) == ["run"]


def test_another_process_was_faster(tmp_path):
    from mfvjax.store import RunExistsError, open_run_folder, write_run

    def save_slowly():
        with open_run_folder(tmp_path / "run") as folder:
            write_run(example_run(title="slow"), folder)
            save_run(example_run(title="fast"), tmp_path / "run")

    with pytest.raises(RunExistsError, match="holds a finished run"):
        save_slowly()
    assert load_run(tmp_path / "run").title == "fast"
    assert os.listdir(tmp_path) == ["run"]


def test_everything_is_flushed_before_it_is_renamed(tmp_path, monkeypatch):
    flushed, renamed = [], []
    fsync, rename = os.fsync, os.rename

    def note_flush(descriptor):
        flushed.append(pathlib.Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def note_rename(source, target):
        renamed.append((pathlib.Path(source), list(flushed)))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", note_flush)
    monkeypatch.setattr(os, "rename", note_rename)
    save_run(example_run(), tmp_path / "run")
    ((source, before),) = renamed
    published = [p.relative_to(tmp_path / "run") for p in (tmp_path / "run").rglob("*")]
    assert set(before) == {source, *(source / name for name in published)}
    assert flushed[-1] == tmp_path  # the new name itself
    assert is_finished(tmp_path / "run")
    assert np.isfinite(load_run(tmp_path / "run").shown.images).all()
