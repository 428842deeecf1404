"""Generated options, run folders and plans: our own error, or a right result, and no work lost.

The quick examples run by default; ``-m slow`` runs three times as many.
"""

import contextlib
import copy
import functools
import io
import json
import math
import shutil
import sys
import tempfile
import time
import warnings
from importlib import import_module
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import mfvjax.cli
from mfvjax.atlas import AtlasFolder
from mfvjax.atlas.plan import AtlasPlan, read_plan
from mfvjax.cli import EXPECTED
from mfvjax.pipeline import run_unit
from mfvjax.report import render_page
from mfvjax.store import load_run, save_run
from mfvjax.store.files import record
from tests.run_example import example_run
from tests.test_atlas_parts import make_plan
from tests.unchecked import without_type_checks

RUN_UNIT = import_module("mfvjax.pipeline.run_unit")
SECONDS = 1.0  # of work that an error may throw away
QUICK, MANY = (
    settings(
        max_examples=number,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    for number in (100, 320)
)

ANYTHING = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(-3, 40),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from(["auto", "all", "NaN", "/dev/null", "python:os:getcwd", "tfds:gs://x/y"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)


class Work(BaseException):
    """Raised where the work begins: no error of ours may come after it."""


@pytest.fixture
def begun(monkeypatch):
    """How often discovery was begun."""
    calls = []

    def discover(*_, **__):
        calls.append(1)
        raise Work

    monkeypatch.setattr(RUN_UNIT, "discover_facets", discover)
    return calls


@functools.cache
def network():
    from mfvjax.network import Network

    return Network.load("compact")


def outcome(work):
    """What `work` gives, and the error it ends in: one of ours, or the beginning of work."""
    try:
        return work(), None
    except (Work, SystemExit, *EXPECTED) as error:
        return None, error


IMAGES = np.zeros((40, 96, 96, 3), np.uint8)
GOOD = {"unit": "fc8:2", "num_facets": 2}
OPTIONS = {
    "unit": st.sampled_from(["fc8:3", "fc8:99", "conv4:1", "fc8", "", "conv4:1@99,99", "prob:1"]),
    "num_facets": ANYTHING,
    "top_fraction": ANYTHING,
    "top_count": ANYTHING,
    "positions": ANYTHING,
    "code": ANYTHING,
    "code_layer": st.one_of(st.none(), st.sampled_from(["fc7", "conv1", "fc99", ""])),
    "num_mean_images": ANYTHING,
    "num_components": ANYTHING,
    "perplexity": ANYTHING,
    "start": ANYTHING,
    "cluster_space": ANYTHING,
    "max_facets": ANYTHING,
    "method": ANYTHING,
    "recipe": ANYTHING,
    "step_fraction": ANYTHING,
    "hold": ANYTHING,
    "controls": ANYTHING,
    "placebo": st.one_of(st.none(), st.sampled_from(["nowhere", "facetworld:no", "tfds:gs://a/b"])),
    "seed": ANYTHING,
    "precision": st.sampled_from(["float32", "float64", "", "bfloat16"]),
    "resize_shorter": ANYTHING,
    "warp": ANYTHING,
    "on_error": ANYTHING,
    "max_unreadable": ANYTHING,
    "max_pixels": st.none(),
    "batch_size": ANYTHING,
    "num_workers": ANYTHING,
}
SOME_OPTIONS = st.lists(st.sampled_from(sorted(OPTIONS)), min_size=1, max_size=4, unique=True)


def try_options(data, begun):
    changes = {name: data.draw(OPTIONS[name], label=name) for name in data.draw(SOME_OPTIONS)}
    network()
    started = time.process_time()
    made, error = outcome(
        lambda: without_type_checks(run_unit)(network(), IMAGES, **{**GOOD, **changes})
    )
    assert made is None
    if isinstance(error, Work):
        assert all(is_usable(name, value) for name, value in changes.items()), changes
    else:
        assert str(error)
        assert time.process_time() - started < SECONDS, changes


def is_usable(name, value):
    """What can be said of an option that was let through, without the library's own checks."""
    whole = ("num_facets", "num_mean_images", "num_components", "max_facets", "batch_size", "seed")
    if name in whole and value != "auto":
        return type(value) is int and value >= (0 if name == "seed" else 1)
    if name in ("step_fraction", "perplexity", "max_unreadable"):
        return type(value) in (int, float) and math.isfinite(value)
    if name in ("controls", "warp"):
        return type(value) is bool
    return json.dumps(value, allow_nan=False) is not None


@QUICK
@given(data=st.data())
def test_options_of_runs(data, begun):
    try_options(data, begun)


@pytest.mark.slow
@MANY
@given(data=st.data())
def test_many_options_of_runs(data, begun):
    try_options(data, begun)


WORDS = st.one_of(
    st.sampled_from(["inf", "nan", "-1", "0", "2", "1e99", "", "[b]", "/dev/null/x", "nowhere"]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6),
)
FLAGS = "-u -k --top --mean-images --code-layer --recipe --steps --hold --placebo --seed --judge -i"
ARGUMENTS = st.lists(st.tuples(st.sampled_from(FLAGS.split()), WORDS), min_size=1, max_size=3)


def try_command(arguments, capsys, monkeypatch, folder):
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(warnings, "showwarning", warnings.showwarning)
        words = [word for pair in arguments for word in pair]
        patch.setattr(sys, "argv", ["mfvjax", "run", *words, "--no-controls", "-q"])
        _, stop = outcome(mfvjax.cli.main)
        assert stop is not None
        if not isinstance(stop, Work):
            assert stop.code in (1, 2), arguments
            assert "rror" in capsys.readouterr().err
        assert not list(Path(folder).rglob("run.json"))


@settings(QUICK, max_examples=40)
@given(arguments=ARGUMENTS)
def test_words_on_the_command_line(arguments, begun, capsys, monkeypatch, tmp_path):
    try_command(arguments, capsys, monkeypatch, tmp_path)


@pytest.mark.slow
@MANY
@given(arguments=ARGUMENTS)
def test_many_words_on_the_command_line(arguments, begun, capsys, monkeypatch, tmp_path):
    try_command(arguments, capsys, monkeypatch, tmp_path)


@functools.cache
def whole_run():
    """A run folder as bytes by name."""
    with tempfile.TemporaryDirectory() as folder:
        path = save_run(example_run(image_size=8), Path(folder) / "run")
        files = (p for p in path.rglob("*") if p.is_file())
        return {p.relative_to(path).as_posix(): p.read_bytes() for p in files}


def places(value, path=()):
    """Every place in JSON, by keys and indices; of a long list, its first three."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value[:3]):
            yield from places(inner, (*path, index))


def mutate(head, data, known):
    """Changes, removes or adds something at one place of JSON."""
    path = data.draw(st.sampled_from(known), label="place")
    inner = head
    for step in path[:-1]:
        inner = inner[step]
    how = data.draw(st.sampled_from(["change", "remove", "repeat"]), label="how")
    if how == "change" or not path:
        value = data.draw(ANYTHING, label="value")
        if path:
            inner[path[-1]] = value
    elif how == "remove":
        del inner[path[-1]]
    elif isinstance(inner, list):
        inner.append(copy.deepcopy(inner[path[-1]]))
    else:
        inner[f"{path[-1]}2"] = copy.deepcopy(inner[path[-1]])


def change_arrays(data):
    """The arrays with one of them of another shape or kind, or gone."""
    with np.load(io.BytesIO(whole_run()["arrays.npz"])) as stored:
        arrays = {name: stored[name] for name in stored.files}
    name = data.draw(st.sampled_from(sorted(arrays)), label="array")
    old = arrays.pop(name)
    shape = data.draw(st.lists(st.integers(0, 6), max_size=5), label="shape")
    kinds = (old.dtype, np.float64, np.int64, np.bool_, np.uint8, "U3", np.complex64)
    kind = data.draw(st.sampled_from(kinds), label="kind")
    how = data.draw(st.sampled_from(["gone", "shape", "kind", "values"]), label="how")
    if how == "shape":
        arrays[name] = np.zeros(shape, old.dtype)
    elif how == "kind":
        arrays[name] = np.zeros(old.shape, kind)
    elif how == "values":
        arrays[name] = np.full_like(old, data.draw(st.integers(0, 127), label="fill"))
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def try_folder(data):
    """Changes a run folder and records what it has; then it is read, or refused by name."""
    files = dict(whole_run())
    head = json.loads(files["run.json"])
    what = data.draw(st.sampled_from(["header", "arrays", "bytes"]), label="what")
    if what == "header":
        known = [path for path in places(head) if path]
        for _ in range(data.draw(st.integers(1, 2))):
            mutate_safely(head, data, known)
    else:
        name = data.draw(st.sampled_from(sorted(files)), label="file") if what == "bytes" else ""
        name = "arrays.npz" if name in ("", "run.json") else name
        files[name] = change_arrays(data) if what == "arrays" else cut(files[name], data)
        head["files"][name] = record(files[name])
    files["run.json"] = json.dumps(head).encode()
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder, "run", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        started = time.process_time()
        run, error = outcome(lambda: load_run(Path(folder, "run")))
        if error is not None:
            assert "run" in str(error)
        else:
            assert "<html" in render_page(run)  # what is let through can be shown
            save_run(run, Path(folder, "again"))
        assert time.process_time() - started < 10 * SECONDS


def mutate_safely(head, data, known):
    """A second change may be at a place that the first one removed."""
    with contextlib.suppress(KeyError, IndexError, TypeError):
        mutate(head, data, known)


def cut(content, data):
    end = data.draw(st.integers(0, len(content)), label="end")
    return content[:end] + data.draw(st.binary(max_size=8), label="tail")


@settings(QUICK, max_examples=60)
@given(data=st.data())
def test_run_folders(data):
    try_folder(data)


@pytest.mark.slow
@MANY
@given(data=st.data())
def test_many_run_folders(data):
    try_folder(data)


def try_plan(data):
    """Changes an atlas's plan; then it is read as a plan that can be worked on, or refused."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        AtlasFolder(folder, make_plan()).__exit__()
        text = json.loads((folder / "atlas.json").read_text())
        if data.draw(st.booleans(), label="text"):
            (folder / "atlas.json").write_bytes(cut(json.dumps(text).encode(), data))
        else:
            mutate_safely(text, data, [path for path in places(text) if path])
            (folder / "atlas.json").write_text(json.dumps(text))
        shutil.rmtree(folder / "units")
        plan, error = outcome(lambda: read_plan(folder))
        if error is not None:
            assert str(error)
            return
        with AtlasFolder(folder, plan) as opened:
            assert isinstance(opened.plan, AtlasPlan)
            assert len(opened.unfinished()) == len(plan.units)


@QUICK
@given(data=st.data())
def test_atlas_plans(data):
    try_plan(data)


@pytest.mark.slow
@MANY
@given(data=st.data())
def test_many_atlas_plans(data):
    try_plan(data)
