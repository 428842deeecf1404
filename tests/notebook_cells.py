"""Runs the code of notebooks, as users do from top to bottom."""

import contextlib
import json
import pathlib

import jax
import matplotlib

FOLDER = pathlib.Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def code_cells(path):
    return [
        "".join(cell["source"])
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]


def run_notebook(path, folder, **constants):
    """The names that are left after all cells ran in `folder`.

    Args:
      path: of the notebook.
      folder: where its files go.
      **constants: values in place of those that the notebook gives to these names, if it does.
    """
    matplotlib.use("Agg")
    names = {"__name__": "__main__"}
    # As users have it: the tests' strict promotion is not theirs.
    with (
        contextlib.chdir(folder),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        for number, cell in enumerate(code_cells(path)):
            exec(compile(cell, f"{path.name}, code cell {number}", "exec"), names)
            names.update({name: value for name, value in constants.items() if name in names})
    return names
