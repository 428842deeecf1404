"""The notebooks run from top to bottom, at few steps, and are kept without outputs."""

import json
import pathlib

import jax
import matplotlib
import pytest

NOTEBOOKS = sorted((pathlib.Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
QUICK = {"STEPS": 0.02, "TRAINING_STEPS": 3, "PICTURES_PER_FACET": 12}


def code_cells(path):
    return [
        "".join(cell["source"])
        for cell in json.loads(path.read_text())["cells"]
        if cell["cell_type"] == "code"
    ]


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_not_kept(path):
    notebook = json.loads(path.read_text())
    assert notebook["nbformat"] == 4
    for cell in notebook["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    names = {"__name__": "__main__"}
    # As users have it: the tests' strict promotion is not theirs.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for number, cell in enumerate(code_cells(path)):
            exec(compile(cell, f"{path.name}, code cell {number}", "exec"), names)
            names.update({name: value for name, value in QUICK.items() if name in names})
    assert names["run"].shown.images.shape[0] >= 2
    assert list(tmp_path.glob("*.png"))
