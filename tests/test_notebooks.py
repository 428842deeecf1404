"""The notebooks run from top to bottom, at few steps, and are kept without outputs."""

import functools
import json
from importlib.util import find_spec

import jax
import numpy as np
import pytest

from benchmarks.networks import mobilenet as benchmark_mobilenet
from tests.conftest import DATA_DIR
from tests.notebook_cells import NOTEBOOKS, run_notebook

QUICK = {
    "STEPS": 0.02,
    "TRAINING_STEPS": 3,
    "PICTURES_PER_FACET": 12,
    "MOBILENET": str(DATA_DIR / "models/mobilenet_v1_0.75_192/weights.npz"),
    "SYNSETS": str(DATA_DIR / "synset_words.txt"),
}
OWN = next(path for path in NOTEBOOKS if path.stem == "your_own_network")
NEEDED = {"pytorch": ("torch", "torchax")}  # by notebooks; not in every environment


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 4


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_not_kept(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    for cell in notebook["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """What a notebook leaves: its names and its folder; each is run once."""

    @functools.cache
    def run(path):
        folder = tmp_path_factory.mktemp(path.stem)
        return run_notebook(path, folder, **QUICK), folder

    return run


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=pytest.mark.slow if p == OWN else (), id=p.stem) for p in NOTEBOOKS],
)
def test_every_cell_runs(path, ran):
    missing = [name for name in NEEDED.get(path.stem, ()) if find_spec(name) is None]
    if missing:
        pytest.skip(f'{path.name} needs {", ".join(missing)}: pip install "mfvjax[torch]"')
    names, folder = ran(path)
    assert names["run"].shown.images.shape[0] >= 2
    assert list(folder.glob("*.png"))


@pytest.mark.slow
def test_a_published_network_of_ones_own_judges(ran, data_dir):
    names, folder = ran(OWN)
    strict = names["run"].judgements[-1]
    assert strict.class_name == "n01518878 ostrich, Struthio camelus"
    assert strict.judge["code_layer"] == "pool"
    assert "Judged by mobilenet" in (folder / "ostrich.html").read_text(encoding="utf-8")
    images = np.random.default_rng(0).uniform(0, 255, (2, 192, 192, 3)).astype(np.float32)
    ours = benchmark_mobilenet().activations(images)
    with jax.numpy_rank_promotion("allow"):
        theirs = names["mobilenet"].activations(images)
    for name in ours:
        np.testing.assert_allclose(theirs[name], ours[name], atol=1e-3)


def test_a_network_that_is_not_there_is_said_to_be_missing(tmp_path, capsys):
    names = run_notebook(OWN, tmp_path, **{**QUICK, "MOBILENET": "nowhere.npz"})
    assert names["mobilenet"] is None
    assert "no nowhere.npz" in capsys.readouterr().out
    assert [judgement.judge["name"] for judgement in names["run"].judgements] == ["compact"]
