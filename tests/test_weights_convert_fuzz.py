"""Thousands of damaged and hostile files: every one is refused by us, or is the network it says."""

import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def _run(module, *arguments):
    command = [sys.executable, "-m", module, *map(str, arguments)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    "scale", [pytest.param(1, id="few"), pytest.param(30, id="many", marks=pytest.mark.slow)]
)
def test_a_damaged_file_is_refused_or_the_network_it_says(tmp_path, scale):
    """What became of the files of `tests.fuzz_caffe`; any error but our own fails in there.

    Outside the numbers, a flipped bit never changes anything unnoticed. Inside, it changes that
    number, or the 8 statistics that a batch norm's factor divides; the exponent's may make it
    infinite, and is then refused.
    """
    outcomes = _run("tests.fuzz_caffe", tmp_path, scale)
    assert len(outcomes) == 7
    for name, found in outcomes.items():
        # a few milliseconds a file; half a second would be a hundred times that
        assert found.pop("seconds") < 0.5 * sum(found.values()), name
    for form in ("", " old"):
        assert outcomes["cut" + form].keys() == {"refused"}
        flipped = outcomes["flip" + form]
        assert flipped["other refused"] > flipped["other 0"] > 20 * scale
        assert flipped["number 1"] > 250 * scale
        assert flipped.keys() <= {"other refused", "other 0", *NUMBER_OUTCOMES}
        spliced = outcomes["splice" + form]
        assert spliced["refused"] > 5 * spliced["changed"]
        assert spliced.keys() <= {"refused", "changed", "0"}
    damaged = outcomes["definitions"]
    assert damaged["refused"] > 5 * damaged["accepted"] > 100 * scale
    assert damaged.keys() == {"refused", "accepted"}


NUMBER_OUTCOMES = {"number 1", "number 8", "number refused"}
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


def test_files_of_huge_things_are_refused_in_seconds_without_large_allocations(tmp_path):
    """What the converter says to the files of `tests.hostile_caffe`, and what that takes."""
    outcomes = _run("tests.hostile_caffe", tmp_path)
    assert outcomes.keys() == ERRORS.keys()
    for name, found in outcomes.items():
        assert ERRORS[name] in found["error"], name
        # the text and its tokens, or the bytes of a layer twice
        assert found["peak"] < 8 * found["size"] + 4e6, name
        assert found["seconds"] < 20, name
