"""Judgements and controls in run folders: kept exactly, added whole or not at all."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

from mfvjax.store import (
    DamagedRunError,
    NotARunError,
    RunWriteError,
    add_judgement,
    is_finished,
    load_run,
    save_run,
)
from tests.domain_networks import DOMAINS
from tests.domain_runs import domain_run
from tests.judged_runs import judged_run, made_up_controls, made_up_judgement
from tests.run_example import example_run
from tests.test_store import assert_same, files_of


@pytest.mark.parametrize("with_class", [True, False])
@pytest.mark.parametrize("judges", [("one",), ("one", "an <i>other</i>")])
def test_a_judged_run_comes_back_to_the_last_bit(judges, with_class, tmp_path):
    run = judged_run(judges=judges, with_class=with_class)
    save_run(run, tmp_path / "run")
    assert_same(load_run(tmp_path / "run"), run)
    assert is_finished(tmp_path / "run")


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=str)
@pytest.mark.parametrize("as_pictures", [True, False])
def test_controls_of_any_domain_come_back(domain, as_pictures, tmp_path):
    run = domain_run(domain)
    if as_pictures and not domain.is_8bit:
        pytest.skip("pictures are the record of 8-bit images only")
    run = dataclasses.replace(run, controls=made_up_controls(run, as_pictures=as_pictures))
    save_run(run, tmp_path / "run")
    assert_same(load_run(tmp_path / "run"), run)
    assert {f"controls/{i:02d}.png" for i in range(1, 5)} <= set(files_of(tmp_path / "run"))


def test_a_run_without_them_has_the_files_of_former_versions(tmp_path):
    save_run(example_run(), tmp_path / "run")
    head = json.loads((tmp_path / "run" / "run.json").read_text())
    assert not {"controls", "judgements"} & head.keys()
    assert load_run(tmp_path / "run").controls is None
    assert load_run(tmp_path / "run").judgements == ()


def test_a_judgement_is_added_to_a_finished_run(tmp_path):
    run = example_run()
    save_run(run, tmp_path / "run")
    before = {name: path.read_bytes() for name, path in files_of(tmp_path / "run").items()}
    first, second = made_up_judgement(run, "first"), made_up_judgement(run, "second")
    again = made_up_judgement(run, "first", with_class=False)
    for judgement, expected in (
        (first, [first]),
        (second, [first, second]),
        (again, [again, second]),
    ):
        add_judgement(tmp_path / "run", judgement)
        found = load_run(tmp_path / "run")
        assert_same(found, dataclasses.replace(run, judgements=tuple(expected)))
    after = {name: path.read_bytes() for name, path in files_of(tmp_path / "run").items()}
    assert after.keys() == before.keys()
    assert {name for name in before if before[name] != after[name]} == {"run.json"}


def test_a_judgement_needs_a_run(tmp_path):
    with pytest.raises(NotARunError, match="holds no run"):
        add_judgement(tmp_path, made_up_judgement(example_run()))
    with pytest.raises(NotARunError, match="holds no run"):
        add_judgement(tmp_path / "none", made_up_judgement(example_run()))
    assert list(tmp_path.iterdir()) == []


def test_a_judgement_that_cannot_be_written_leaves_the_run(tmp_path, monkeypatch):
    run = example_run()
    save_run(run, tmp_path / "run")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(RunWriteError, match="no space left"):
        add_judgement(tmp_path / "run", made_up_judgement(run))
    assert_same(load_run(tmp_path / "run"), run)
    assert not [f for f in files_of(tmp_path / "run") if f.startswith(".")]


@pytest.mark.parametrize(
    "change",
    [
        {"judge": {"name": "x"}},
        {"judge": "nobody"},
        {"shown": None},
        {"real_facets": [0, 1]},
        {"real_facets": "many"},
        {"start": {}},
    ],
    ids=str,
)
def test_a_damaged_judgement_is_told(change, tmp_path):
    run = judged_run()
    save_run(run, tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    head = json.loads(path.read_text())
    head["judgements"][0].update(change)
    path.write_text(json.dumps(head))
    with pytest.raises(DamagedRunError, match="is damaged"):
        load_run(tmp_path / "run")


@pytest.mark.parametrize("names", [["one"], ["a", "b", "c", "d", "e"]])
def test_damaged_controls_are_told(names, tmp_path):
    save_run(judged_run(), tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    head = json.loads(path.read_text())
    head["controls"]["names"] = names
    path.write_text(json.dumps(head))
    with pytest.raises(DamagedRunError, match="controls"):
        load_run(tmp_path / "run")


ADD = """
import sys
from mfvjax.store import add_judgement, load_run
from tests.judged_runs import made_up_judgement
folder, name, times = sys.argv[1:]
judgement = made_up_judgement(load_run(folder), name)
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(times)):
    add_judgement(folder, judgement)
"""


def start(folder, name, times=1):
    """A process that has read the run and waits for a line to add its judgement."""
    process = subprocess.Popen(
        [sys.executable, "-c", ADD, folder, name, str(times)],
        cwd=pathlib.Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"ready\n"
    return process


def go(process):
    process.stdin.write(b"\n")
    process.stdin.flush()


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked")
def test_judges_at_the_same_time_lose_nothing(tmp_path):
    save_run(example_run(), tmp_path / "run")
    names = ["a", "bb", "ccc", "dddd"]
    started = [start(tmp_path / "run", name, times=5) for name in names]
    for process in started:
        go(process)
    for process in started:
        process.communicate()
        assert process.returncode == 0
    assert sorted(j.judge["name"] for j in load_run(tmp_path / "run").judgements) == names


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
def test_a_killed_judge_leaves_a_whole_run(tmp_path):
    run = example_run()
    save_run(run, tmp_path / "run")
    for wait in (0.001, 0.01, 0.1):
        process = start(tmp_path / "run", "x", times=10**6)
        go(process)
        time.sleep(wait)
        process.kill()
        process.communicate()
        found = load_run(tmp_path / "run")
        assert len(found.judgements) in (0, 1)
        assert_same(dataclasses.replace(found, judgements=()), run)
    judgement = made_up_judgement(run, "x")
    add_judgement(tmp_path / "run", judgement)
    assert_same(load_run(tmp_path / "run").judgements[0], judgement)
