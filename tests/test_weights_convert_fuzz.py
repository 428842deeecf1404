"""Thousands of damaged and hostile files: every one is refused by us, or is the network it says."""

import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(
    scope="module",
    params=[pytest.param(1, id="few"), pytest.param(30, id="many", marks=pytest.mark.slow)],
)
def outcomes(request, tmp_path_factory):
    """What became of the files that `tests.fuzz_caffe` damages; any other error fails here."""
    folder = tmp_path_factory.mktemp("fuzz")
    return _run("tests.fuzz_caffe", folder, request.param)


def _run(module, *arguments):
    command = [sys.executable, "-m", module, *map(str, arguments)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout)


@pytest.mark.parametrize("form", ["", " old"])
def test_a_weights_file_cut_anywhere_is_refused(outcomes, form):
    assert outcomes["cut" + form].keys() == {"refused", "seconds"}


@pytest.mark.parametrize("form", ["", " old"])
def test_a_flipped_bit_is_refused_or_changes_what_it_lies_in(outcomes, form):
    """Outside the numbers nothing changes unnoticed; the factor of a batch norm changes 8 numbers.

    A bit of a number's exponent may make it infinite, and is then refused.
    """
    found = outcomes["flip" + form]
    assert found.pop("other refused") > found["other 0"] > 20
    assert found.pop("number 1") > 250
    assert found.keys() <= {"other 0", "number refused", "number 8", "seconds"}


@pytest.mark.parametrize("form", ["", " old"])
def test_spliced_weights_are_refused_or_of_the_same_shapes(outcomes, form):
    found = outcomes["splice" + form]
    assert found["refused"] > 5 * found["changed"]
    assert found.keys() <= {"refused", "changed", "0", "seconds"}


def test_a_damaged_definition_is_refused_or_a_graph(outcomes):
    found = outcomes["definitions"]
    assert found["refused"] > 5 * found["accepted"] > 100
    assert found.keys() == {"refused", "accepted", "seconds"}


def test_no_damaged_file_takes_long(outcomes):
    """A file takes a few milliseconds; half a second would be a hundred times that."""
    for name, found in outcomes.items():
        files = sum(count for outcome, count in found.items() if outcome != "seconds")
        assert found["seconds"] < 0.5 * files, name


ERRORS = {
    "nested": "nested deeper than 64 messages",
    "fields": "more than 200000 names, values and marks",
    "open string": "cannot read",
    "digits": "a name or value of 1000000 letters",
    "comments": "has no layers",
    "doubling": "has the impossible shape (8, 8, 50331648)",
    "growing": "parameter has the impossible shape",
    "overlapping": "has the impossible shape",
    "tops": "has 20000 outputs, needs 1 to 4096",
    "bottoms": "has 20000 inputs, needs 1 to 4096",
    "one length": "is damaged or cut off",
    "lengths inside": "is damaged or cut off",
    "sizes": "but 0 values",
    "old sizes": "but 0 values",
    "shape": "has a blob with an endless shape",
    "blobs": "has more than 100000 fields",
    "layers": "has more than 100000 fields",
    "zeros": "is damaged or cut off",
    "ones": "never ends",
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """What the converter says to the files of `tests.hostile_caffe`."""
    return _run("tests.hostile_caffe", tmp_path_factory.mktemp("hostile"))


@pytest.mark.parametrize("name", ERRORS)
def test_files_of_huge_things_are_refused_in_seconds_without_large_allocations(hostile, name):
    found = hostile[name]
    assert ERRORS[name] in found["error"]
    # the text and its tokens, or the bytes of a layer twice; seconds on a machine with other work
    assert found["peak"] < 8 * found["size"] + 4e6
    assert found["seconds"] < 20


def test_every_hostile_file_is_looked_at(hostile):
    assert hostile.keys() == ERRORS.keys()
