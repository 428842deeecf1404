"""Directions and codes of relevance on the command line: runs, replays, facets, info, atlases."""

import functools
import inspect
import json

import numpy as np
import pytest

import mfvjax.cli
import mfvjax.pipeline
from mfvjax.atlas.plan import read_plan
from mfvjax.atlas.share import parse_units
from mfvjax.cli._options import DEFAULT_CODE
from mfvjax.facets.discover import discover_facets
from mfvjax.facets.result import Facets
from mfvjax.network import Network
from mfvjax.network.directions import Directions, save_directions
from mfvjax.pipeline import replay
from mfvjax.store import load_run
from tests.small_job import small_run

NAMES = ("green", "long rows", "green")
VECTORS = np.abs(np.random.default_rng(0).normal(size=(3, 384)))
DIRECTIONS = Directions("fc6", VECTORS, NAMES)
QUICK = ["--recipe", "small-image", "--steps", "0.1", "--hold", "0", "-k", "2", "-q"]
POOL = ["-i", "facetworld:pool table", "--top", "40"]


@pytest.fixture
def file(tmp_path):
    """A file of directions of the bundled network."""
    save_directions(DIRECTIONS, tmp_path / "d.safetensors")
    return tmp_path / "d.safetensors"


@pytest.fixture
def run(command_line):
    """The command line."""
    return command_line


@functools.cache
def probed():
    return DIRECTIONS.on(Network.load("compact"))


def test_a_run_of_a_direction_and_its_replay(run, file, tmp_path):
    folder = tmp_path / "job"
    asked = ["--directions", file, "-u", "probes:long rows", *POOL, *QUICK]
    assert run("run", *asked, "--judge", "none", "--out", folder) == (0, "", "")
    stored = load_run(folder)
    assert (stored.unit, stored.title) == ("probes:1", "long rows")
    assert stored.options["directions"] == str(file)
    assert len(stored.options["directions_sha256"]) == 64
    assert stored.network["fingerprint"] == probed().fingerprint
    assert stored.network["model_fingerprint"] == Network.load("compact").fingerprint
    assert "long rows" in (folder / "report.html").read_text()
    assert run("replay", folder, "-q")[0] == 0

    code, _, err = run("judge", folder, "compact")
    assert code == 1
    assert "is the network that the pictures were made for" in err

    moved = tmp_path / "moved.safetensors"
    file.rename(moved)
    code, _, err = run("replay", folder, "-q")
    assert code == 1
    assert str(file) in err
    assert run("replay", folder, "-q", "--directions", moved)[0] == 0
    save_directions(Directions("fc6", VECTORS + 1, NAMES), moved)
    code, _, err = run("replay", folder, "-q", "--directions", moved)
    assert code == 1
    assert "are not those of the run: the file has changed" in err
    with pytest.raises(ValueError, match="are not those of the run: the file has changed"):
        replay(stored, directions=str(moved))


def test_the_steps_alone(run, file, tmp_path):
    found = tmp_path / "facets.npz"
    asked = ["--directions", file, "-u", "probes:1", *POOL, "-k", "2", "-q"]
    assert run("facets", found, *asked, "--code", "relevance") == (0, "", "")
    facets = Facets.load(found)
    assert (str(facets.unit), facets.code_layer, facets.code) == ("probes:1", "fc6", "relevance")
    shown = [found, "-i", "facetworld:pool table", *QUICK[:-3], "-q", "--out", tmp_path / "shown"]
    code, _, err = run("visualize", *shown)
    assert code == 1
    assert "but 'compact' is another one" in err
    assert run("visualize", *shown, "--directions", file) == (0, "", "")
    assert load_run(tmp_path / "shown").title == "long rows"


def test_options_reach_the_job(run, file, tmp_path, monkeypatch):
    calls = []

    def run_unit(network, images, **options):
        calls.append(options)
        return small_run()

    monkeypatch.setattr(mfvjax.pipeline, "run_unit", run_unit)
    out = ["--out", tmp_path / "job", "--overwrite", "-q"]
    assert run("run", *out)[0] == 0
    assert run("run", *out, "--directions", file, "--code", "relevance")[0] == 0
    assert (calls[0]["directions"], "code" in calls[0]) == (None, False)
    assert (calls[1]["directions"], calls[1]["code"]) == (file, "relevance")
    assert inspect.signature(discover_facets).parameters["code"].default == DEFAULT_CODE


def test_info_lists_the_units(run, file):
    code, out, _ = run("info", "compact", "--directions", file)
    assert code == 0
    assert "probes: 0 green, 1 long rows, 2 green" in out
    assert "probes: " not in run("info", "compact")[1]
    facts = json.loads(run("info", "compact", "--directions", file, "--json")[1])
    (layer,) = [layer for layer in facts["layers"] if layer["name"] == "probes"]
    assert (layer["unit_names"], layer["code_layer"], layer["units"]) == (list(NAMES), "fc6", 3)
    many = Directions("fc6", np.eye(384)[:40], tuple(f"unit {i}" for i in range(40)))
    save_directions(many, file)
    assert "29 unit 29 and 10 more" in run("info", "compact", "--directions", file)[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-u", "probes:green"], "probes:green may be probes:0, probes:2; give the index"),
        (["-u", "probes:long row"], "no unit called 'long row'; near it are long rows"),
        (["-u", "probes:0"], "no images given for probes:0"),
        (["-n", "compact-resnet", "-u", "probes:0"], "384 components, but layer 'fc6'"),
    ],
)
def test_failures_are_one_line(run, file, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    images = [] if "no images" in message else POOL
    code, _, err = run("run", "--directions", file, *arguments, *images, "--judge", "none")
    assert code == 1
    assert message in " ".join(err.split())
    assert not list(tmp_path.glob("mfv_runs/*"))
    assert run("run", "--directions", "nowhere.safetensors", *POOL)[0] == 1


def test_an_atlas_of_directions(run, file, tmp_path):
    folder = tmp_path / "atlas"
    asked = ["-i", "facetworld:pool table", "--directions", file, "-l", "probes", "--top", "40"]
    asked += ["-u", "long rows,0", *QUICK, "-o", folder]
    assert run("atlas", *asked)[0] == 0
    plan = read_plan(folder)
    assert plan.units == ("probes:1", "probes:0")
    assert plan.network["directions"] == str(file)
    stored = load_run(folder / "units" / "probes-0001")
    assert (stored.title, stored.options["directions"]) == ("long rows", str(file))
    assert run("replay", folder / "units" / "probes-0001", "-q", "--tolerance", "300")[0] == 0
    code, _, err = run("judge", folder, "compact")
    assert code == 1
    assert "is the network that the pictures were made for" in err
    save_directions(Directions("fc6", VECTORS + 1, NAMES), file)
    code, _, err = run("atlas", *asked)
    assert code == 1
    assert "network.directions_sha256" in " ".join(err.split())


def test_units_by_name_and_number():
    names = ("a", "b c", "d")
    assert parse_units("p", 3, "b c, 0,2-", names=names) == ["p:1", "p:0", "p:2"]
    assert parse_units("p", 3, "all", names=names) == ["p:0", "p:1", "p:2"]
    with pytest.raises(ValueError, match="layer 'p' has no unit called 'e'"):
        parse_units("p", 3, "a,e", names=names)
    with pytest.raises(ValueError, match="units 'a' are not of the form"):
        parse_units("p", 3, "a")
