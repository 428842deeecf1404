"""Conversion to ``.safetensors``: what the file holds, the command line, time and memory."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from mfvjax.models.graph import GraphSpec
from mfvjax.preprocess import Preprocessing
from tests.caffe_writer import Layer, Node, random_layers, write_caffemodel, write_nodes
from tests.test_weights_convert import BIAS, CONV, DIMS, FC, NODES, rewrite
from weights_convert import CaffeFormatError, convert, read_caffe
from weights_convert.__main__ import main
from weights_convert.plan import plan_prototxt


@pytest.fixture
def files(tmp_path):
    return write_nodes(tmp_path, NODES, dims=DIMS)


def test_the_safetensors_file_holds_everything(files, tmp_path):
    output = tmp_path / "made.safetensors"
    eats = Preprocessing((6, 5), "RGB", (1.0, 2.0, 3.0), 0.5)
    convert(*files, output, name="mine", class_names=["a", "b", "c"], preprocessing=eats)
    graph, arrays = read_caffe(*files)
    stored = safetensors.numpy.load_file(output)
    assert set(stored) == set(arrays) == {"conv/kernel", "conv/bias", "fc/kernel"}
    assert all(np.array_equal(stored[name], arrays[name]) for name in arrays)
    with safetensors.safe_open(output, framework="numpy") as handle:
        metadata = handle.metadata()
    digests = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
    assert GraphSpec.from_json(metadata.pop("graph")) == graph
    assert Preprocessing.from_json(metadata.pop("preprocessing")) == eats
    assert json.loads(metadata.pop("sources")) == digests
    assert json.loads(metadata.pop("class_names")) == ["a", "b", "c"]
    assert metadata == {
        "format": "mfvjax-network",
        "version": "1",
        "architecture": "caffe_graph",
        "name": "mine",
        "logits_layer": "fc",
    }
    assert output.stat().st_mode == files[0].stat().st_mode


def test_defaults_of_the_metadata(files, tmp_path):
    convert(*files, tmp_path / "a.safetensors")
    with safetensors.safe_open(tmp_path / "a.safetensors", framework="numpy") as handle:
        metadata = handle.metadata()
    assert metadata["name"] == "made"
    assert "class_names" not in metadata
    eats = Preprocessing.from_json(metadata["preprocessing"])
    assert eats == Preprocessing((6, 5), "BGR", (104.0, 117.0, 123.0))


def test_the_last_activation_scores_classes_where_no_softmax_does(tmp_path, files):
    nodes = write_nodes(tmp_path, NODES[:2], dims=DIMS)
    convert(*nodes, tmp_path / "a.safetensors")
    with safetensors.safe_open(tmp_path / "a.safetensors", framework="numpy") as handle:
        assert handle.metadata()["logits_layer"] == "conv"


def test_options_that_do_not_fit_are_refused_and_leave_nothing(files, tmp_path):
    output = tmp_path / "made.safetensors"
    output.write_text("older")
    with pytest.raises(ValueError, match="2 class names for the 3 units of 'fc'"):
        convert(*files, output, class_names=["a", "b"])
    with pytest.raises(ValueError, match=r"images of \(7, 7\), network 'made' takes \(6, 5\)"):
        convert(*files, output, preprocessing=Preprocessing((7, 7)))
    gray = write_nodes(tmp_path, [Node("r", "ReLU", ["data"], ["r"])], dims=(1, 1, 4, 4))
    with pytest.raises(ValueError, match="network 'made' takes images of 1 channels: give a pre"):
        convert(*gray, output)
    with pytest.raises(ValueError, match="of 3 channels, network 'made' takes 1"):
        convert(*gray, output, preprocessing=Preprocessing((4, 4)))
    files[1].write_bytes(b"\x80")
    with pytest.raises(CaffeFormatError, match="never ends"):
        convert(*files, output)
    assert output.read_text() == "older"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "made.caffemodel",
        "made.prototxt",
        "made.safetensors",
    ]


@pytest.mark.parametrize(
    ("flags", "key", "value"),
    [
        (["--name", "other"], "name", "other"),
        (["--class-names", "names.txt"], "class_names", '["x", "y", "z"]'),
        (["--ignore-layer", "aux*"], "name", "made"),
        (["--channel-order", "RGB"], "preprocessing", '"channel_order": "RGB"'),
        (["--mean", "1", "2", "3"], "preprocessing", '"mean": [1.0, 2.0, 3.0]'),
        (["--scale", "0.5"], "preprocessing", '"scale": 0.5'),
    ],
)
def test_every_flag_changes_the_file(files, tmp_path, monkeypatch, capsys, flags, key, value):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names.txt").write_text("x\ny\nz\n")
    if "--ignore-layer" in flags:
        rewrite(files, [CONV, FC, Layer("aux1", "Bias", [BIAS])])
        assert main([*map(str, files), "-o", "out.safetensors"]) == 1
        assert "aux1" in capsys.readouterr().err
    assert main([*map(str, files), "--output", "out.safetensors", *flags]) == 0
    assert capsys.readouterr().out == "out.safetensors\n"
    with safetensors.safe_open("out.safetensors", framework="numpy") as handle:
        assert value in handle.metadata()[key]


def test_the_command_prints_errors_and_warnings(files, tmp_path, capsys):
    text = files[0].read_text().replace('"ReLU"', '"ReLU" relu_param { cap: 6 }')
    files[0].write_text(text)
    assert main([*map(str, files), "-o", str(tmp_path / "out.safetensors")]) == 0
    assert "warning: layer 'relu'" in capsys.readouterr().err
    assert main([str(files[0]), str(tmp_path / "none"), "-o", str(tmp_path / "o")]) == 1
    assert "error: " in capsys.readouterr().err
    files[0].write_text(text.replace('"Softmax"', '"Rotate"'))
    assert main([*map(str, files), "-o", str(tmp_path / "out2.safetensors")]) == 1
    assert "made.prototxt: layer 'prob' (Rotate, line" in capsys.readouterr().err


PUBLISHED_SIZE = """
import resource, sys, time
from weights_convert.__main__ import main
status = main(sys.argv[1:])
usage = resource.getrusage(resource.RUSAGE_SELF)
high = [line for line in open("/proc/self/status") if line.startswith("VmHWM")][0]
print(status, usage.ru_utime + usage.ru_stime, int(high.split()[1]) * 1024)
"""


@pytest.mark.slow
def test_a_file_of_caffenets_size_converts_in_5_seconds_and_3_times_its_size(data_dir, tmp_path):
    """Seconds of processor time of a fresh process, imports included; peak of its memory.

    Linux only: ``ru_maxrss`` would count the memory of the test process before it started this one.
    """
    prototxt = data_dir / "models" / "bvlc_reference_caffenet" / "deploy.prototxt"
    layers = random_layers(plan_prototxt(prototxt).graph, np.random.default_rng(0))
    weights = write_caffemodel(tmp_path / "v1.caffemodel", layers, form="V1", old_shape=True)
    command = [sys.executable, "-c", PUBLISHED_SIZE, prototxt, weights, "-o", tmp_path / "out"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    status, seconds, peak = result.stdout.splitlines()[-1].split()
    assert status == "0"
    assert weights.stat().st_size > 243e6
    assert float(seconds) < 5
    assert int(peak) < 3 * weights.stat().st_size
