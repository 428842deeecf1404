"""``mfvjax judge`` and ``--judge``: asked before any work, kept in the folder, printed first."""

import dataclasses
import json

import jax
import numpy as np
import pytest

import mfvjax.cli
import mfvjax.pipeline
from mfvjax.judging import judge_run
from mfvjax.network import Network
from mfvjax.store import load_run, save_run
from tests.small_job import small_run
from tests.test_store import assert_same, files_of


@pytest.fixture
def run(command_line, monkeypatch):
    """The command line."""
    monkeypatch.setenv("COLUMNS", "160")
    return command_line


@pytest.fixture(scope="module")
def judge_file(tmp_path_factory):
    """The bundled network, a little different: another one by its fingerprint."""
    compact = Network.load("compact")
    params = jax.tree.map(lambda values: values * np.float32(1.01), compact.params)
    path = tmp_path_factory.mktemp("judge") / "judge.safetensors"
    dataclasses.replace(compact, params=params, name="judge").save(path)
    return path


@pytest.fixture
def asked(monkeypatch):
    """`run_unit` answers with a run made before; how often it was asked."""
    calls = []

    def run_unit(network, images, **options):
        calls.append(options)
        return made()

    monkeypatch.setattr(mfvjax.pipeline, "run_unit", run_unit)
    return calls


def made():
    return small_run(recipe="small-image")


def without_judge(run):
    timings = {name: value for name, value in run.timings.items() if name != "judge"}
    return dataclasses.replace(run, judgements=(), timings=timings)


def test_a_run_is_judged_as_it_is_made(run, asked, judge_file, tmp_path):
    code, out, err = run("run", "--judge", judge_file, "--out", tmp_path / "job")
    assert (code, err) == (0, "")
    stored = load_run(tmp_path / "job")
    assert_same(without_judge(stored), made())
    assert_same(stored.judgements[0], judge_run(made(), judge_file))
    assert stored.judgements[0].class_name == "pool table"
    text = " ".join(out.split())
    assert text.index("judged by judge: as pool table, by name") < text.index("own recall")
    assert "class is first ↑" not in text  # the direction is the page's
    assert "untouched start real images chance" in text
    assert "Judged by judge" in (tmp_path / "job" / "report.html").read_text()


def test_the_class_can_be_told(run, asked, judge_file, tmp_path):
    options = ["--judge", judge_file, "--judge-class", "volcano", "--json"]
    code, out, _ = run("run", *options, "--out", tmp_path / "job")
    assert code == 0
    [judgement] = json.loads(out)["judgements"]
    assert (judgement["class_name"], judgement["class_by"]) == ("volcano", "as told")
    assert judgement["summary"].keys() == {"shown", "start", "real", "chance"}
    assert len(judgement["facets"]["rank"]) == 2
    other = judge_run(made(), judge_file).shown.rank.tolist()
    assert judgement["facets"]["rank"] != other


def test_a_run_without_a_judge_has_none(run, asked, tmp_path):
    words = ["--judge", "none", "--json", "--out", tmp_path / "job"]
    assert json.loads(run("run", *words)[1])["judgements"] == []
    assert load_run(tmp_path / "job").judgements == ()


def test_the_second_bundled_network_judges_the_first(run, asked, tmp_path):
    out = run("run", "--json", "--out", tmp_path / "job")[1]
    [judgement] = json.loads(out)["judgements"]
    assert judgement["judge"]["name"] == "compact-resnet"
    assert [one.judge["name"] for one in load_run(tmp_path / "job").judgements] == [
        "compact-resnet"
    ]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--judge", "nowhere.safetensors"], 1, "nowhere.safetensors"),
        (["--judge", "compact"], 1, "the network that the pictures were made for"),
        (["--judge", "FILE", "--judge-class", "tractor"], 1, "has no such class"),
        (["--judge-class", "volcano"], 2, "there is no --judge"),
    ],
)
def test_what_cannot_judge_is_refused_before_the_work(
    run, asked, judge_file, tmp_path, options, code, message
):
    options = [str(judge_file) if option == "FILE" else option for option in options]
    found = run("run", *options, "--out", tmp_path / "job")
    assert found[0] == code
    assert message in " ".join(found[2].replace("│", " ").split())
    assert asked == []
    assert not (tmp_path / "job").exists()


def test_facets_found_before_are_judged_too(run, judge_file, tmp_path, monkeypatch):
    monkeypatch.setattr(mfvjax.pipeline, "run_facets", lambda *_, **__: made())
    file = tmp_path / "facets.npz"
    assert run("facets", file, "-u", "fc8:2", "-k", "2", "-q")[0] == 0
    assert run("visualize", file, "--judge", judge_file, "--out", tmp_path / "a", "-q")[0] == 0
    assert len(load_run(tmp_path / "a").judgements) == 1


def test_a_finished_run_is_judged(run, judge_file, tmp_path):
    folder = tmp_path / "run"
    save_run(made(), folder)
    (folder / "report.html").write_text("a former page")
    before = {name: path.read_bytes() for name, path in files_of(folder).items()}
    code, out, err = run("judge", folder, judge_file)
    assert (code, err) == (0, "")
    assert "judged by judge" in out
    assert "Judged by judge" in (folder / "report.html").read_text()
    after = {name: path.read_bytes() for name, path in files_of(folder).items()}
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed == {"run.json", "report.html"}
    assert_same(dataclasses.replace(load_run(folder), judgements=()), made())
    # Again, with another class: replaced, not added.
    code, out, _ = run("judge", folder, judge_file, "--judge-class", "1", "--json")
    assert [j["class_index"] for j in json.loads(out)["judgements"]] == [1]
    assert len(load_run(folder).judgements) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "FILE"], "nowhere does not exist"),
        (["RUN", "compact"], "the network that the pictures were made for"),
        (["RUN", "nowhere"], "no network 'nowhere'"),
        (["RUN", "FILE", "--judge-class", "99"], "class 99: the classes are 0 to"),
    ],
)
def test_what_cannot_be_judged_stays_as_it_is(run, judge_file, tmp_path, arguments, message):
    folder = tmp_path / "run"
    save_run(made(), folder)
    before = {name: path.read_bytes() for name, path in files_of(folder).items()}
    known = {"RUN": folder, "FILE": judge_file}
    code, _, err = run("judge", *(known.get(a, a) for a in arguments))
    assert code == 1
    assert message in err
    assert {name: path.read_bytes() for name, path in files_of(folder).items()} == before
