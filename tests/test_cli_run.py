"""The commands of the main job: what each option changes, and what is left behind."""

import dataclasses
import inspect
import json

import numpy as np
import pytest

import mfvjax.cli
import mfvjax.pipeline
from mfvjax.cli._options import DEFAULT_MEAN_IMAGES, DEFAULT_POSITIONS
from mfvjax.facets.discover import discover_facets
from mfvjax.facets.result import Facets
from mfvjax.store import load_run
from tests.small_job import SMALL_JOB, small_run


@pytest.fixture
def run(command_line):
    """The command line."""
    return command_line


@pytest.fixture
def asked(monkeypatch):
    """What ``mfvjax run`` asks of `run_unit`, which answers with a run made before."""
    calls = []

    def run_unit(network, images, **options):
        calls.append({"network": network, "images": images, **options})
        return small_run()

    monkeypatch.setattr(mfvjax.pipeline, "run_unit", run_unit)
    return calls


RECIPE = ["--recipe", SMALL_JOB["recipe"], "--steps", "0.25"]
SMALL = ["-u", SMALL_JOB["unit"], "-k", "2", *RECIPE]


def test_the_whole_job_leaves_a_run_and_a_page(run, tmp_path):
    code, out, _ = run("run", *SMALL, "--out", tmp_path / "job")
    assert code == 0
    assert "pool table" in out
    assert f"Open {tmp_path / 'job' / 'report.html'}" in out.replace("\n", "")
    stored = load_run(tmp_path / "job")
    np.testing.assert_array_equal(stored.shown.images, small_run().shown.images)
    assert "<html" in (tmp_path / "job" / "report.html").read_text()
    assert not (tmp_path / "job" / "figures").exists()

    code, _, err = run("run", *SMALL, "--out", tmp_path / "job")
    assert code == 1
    assert "job" in err
    assert run("replay", tmp_path / "job")[0] == 0
    code, out, _ = run("report", tmp_path / "job")
    assert code == 0
    assert (tmp_path / "job" / "figures" / "map.pdf").exists()


def test_the_steps_alone_give_what_the_job_gives(run, tmp_path):
    file = tmp_path / "facets.npz"
    code, out, _ = run("facets", file, "-u", SMALL_JOB["unit"], "-k", "2")
    assert code == 0
    assert "2 facets of 80 images, sizes [40, 40]" in out
    assert Facets.load(file).num_facets == 2
    folder = tmp_path / "shown"
    assert run("visualize", file, *RECIPE, "--out", folder, "-q")[0] == 0
    np.testing.assert_array_equal(load_run(folder).shown.images, small_run().shown.images)
    assert run("facets", file, "-u", "fc8:2", "-k", "3", "--seed", "4", "--json")[0] == 0
    assert Facets.load(file).num_facets == 3
    pool = ["-i", "facetworld:pool table", "-u", "fc8:2", "-k", "2"]
    assert run("facets", file, *pool, "--top", "50%", "--code-layer", "fc6", "-q")[0] == 0
    assert (len(Facets.load(file).names), Facets.load(file).code_layer) == (40, "fc6")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {"network": "compact", "images": "facetworld:balloon", "num_facets": "auto"}),
        (["-u", "fc8:2"], {"unit": "fc8:2", "images": "facetworld:pool table"}),
        (["-i", "some/folder"], {"images": "some/folder", "num_facets": 10}),
        (["-k", "7"], {"num_facets": 7}),
        (["-k", "auto", "-i", "x"], {"num_facets": "auto"}),
        (["--recipe", "release-mean-image"], {"recipe": "release-mean-image"}),
        (["--steps", "0.5"], {"step_fraction": 0.5}),
        ([], {"hold": None, "controls": True, "placebo": None, "recipe": None}),
        (["--hold", "0"], {"hold": 0.0}),
        (["--no-controls"], {"controls": False}),
        (["--placebo", "other"], {"placebo": "other"}),
        (["--seed", "9"], {"seed": 9}),
        (["--precision", "bfloat16"], {"precision": "bfloat16"}),
        (["--top", "2%"], {"top_fraction": 0.02}),
        (["--top", "1000"], {"top_count": 1000}),
        (["--top", "all"], {"top_fraction": "all"}),
        ([], {"max_unreadable": 0.1, "max_pixels": None}),
        (["--max-unreadable", "0.3"], {"max_unreadable": 0.3}),
        (["--max-pixels", "99"], {"max_pixels": 99}),
        (["--mean-images", "50"], {"num_mean_images": 50}),
        (["--code-layer", "fc6"], {"code_layer": "fc6"}),
        (["--positions", "all"], {"positions": "all"}),
    ],
)
def test_every_option_of_run_reaches_the_job(run, asked, tmp_path, arguments, expected):
    code, _, err = run("run", *arguments, "--out", tmp_path / "job")
    assert (code, err) == (0, "")
    assert {name: asked[0][name] for name in expected} == expected


def test_defaults_of_command_and_function_agree():
    parameters = inspect.signature(discover_facets).parameters
    assert parameters["num_mean_images"].default == DEFAULT_MEAN_IMAGES
    assert parameters["positions"].default == DEFAULT_POSITIONS


def test_output_options(run, asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("run", "-q")[1] == ""
    assert load_run(tmp_path / "mfv_runs" / "compact_fc8-6").num_facets == 2
    code, out, _ = run("run", "--json", "--overwrite", "--figures")
    facts = json.loads(out)
    assert (code, facts["num_facets"], facts["title"]) == (0, 2, "pool table")
    assert (tmp_path / "mfv_runs" / "compact_fc8-6" / "figures" / "facets.png").exists()
    assert run("run", "--device", "cpu", "--overwrite", "-q")[0] == 0


def test_a_missing_number_is_null_in_json(run, monkeypatch, tmp_path):
    spoiled = dataclasses.replace(small_run(), summary={"recall": float("nan")})
    monkeypatch.setattr(mfvjax.pipeline, "run_unit", lambda *args, **options: spoiled)
    out = run("run", "--json", "--out", tmp_path / "job")[1]
    assert json.loads(out)["summary"] == {"recall": None}


def test_a_run_that_does_not_replay_fails(run, monkeypatch, tmp_path):
    run("run", *SMALL, "--out", tmp_path / "job", "-q")
    other = small_run(seed=1)
    monkeypatch.setattr(mfvjax.pipeline, "replay", lambda run, **options: other)
    code, _, err = run("replay", tmp_path / "job")
    assert code == 1
    assert "does not replay: images differ by" in err
    assert run("replay", tmp_path / "job", "--tolerance", "300")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "-k", "none"], 2, "'none' is neither a number from 1 nor 'auto'"),
        (["run", "--top", "half"], 2, "'half' is neither a share, as 2%, nor a number"),
        (["run", "--device", "abacus"], 2, "no 'abacus' here; there is cpu"),
        (["run", "-n", "nowhere.safetensors"], 1, "nowhere.safetensors"),
        (["run", "-u", "conv1:0"], 1, "no images given for conv1:0@"),
        (["run", "-u", "fc8"], 1, "is not of the form LAYER:INDEX"),
        (["report", "nowhere"], 1, "nowhere"),
    ],
)
def test_failures_are_one_line(run, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result[0] == code
    assert message in " ".join(result[2].replace("│", " ").split())
    assert list(tmp_path.glob("mfv_runs/*")) == []
