"""The notebooks run from top to bottom, at few steps, and are kept without outputs."""

import json

import pytest

from tests.notebook_cells import NOTEBOOKS, run_notebook

QUICK = {"STEPS": 0.02, "TRAINING_STEPS": 3, "PICTURES_PER_FACET": 12}
IN_FULL = ("grey_digits", "sounds")  # run by test_demo_digits.py and test_demo_sounds.py


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 4


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_not_kept(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    for cell in notebook["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


@pytest.mark.parametrize(
    "path", [p for p in NOTEBOOKS if p.stem not in IN_FULL], ids=lambda path: path.stem
)
def test_every_cell_runs(path, tmp_path):
    names = run_notebook(path, tmp_path, **QUICK)
    assert names["run"].shown.images.shape[0] >= 2
    assert list(tmp_path.glob("*.png"))
