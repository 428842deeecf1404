"""The command line: help, exit codes, messages, and the commands about networks."""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import warnings

import numpy as np
import pytest

import mfvjax.cli
from mfvjax.fetch import SOURCES, networks
from mfvjax.fetch.sources import RemoteFile, Source
from mfvjax.network import Network
from tests.loopback import serve
from tests.small_caffe import DEFINITION, write_small_caffe

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def run(command_line, monkeypatch):
    """The command line."""
    monkeypatch.setenv("COLUMNS", "100")
    return command_line


@pytest.fixture(scope="module")
def caffe_files(tmp_path_factory):
    return write_small_caffe(tmp_path_factory.mktemp("caffe"))


@pytest.fixture(scope="module")
def weights(caffe_files, tmp_path_factory):
    from weights_convert import convert

    file = tmp_path_factory.mktemp("weights") / "small.safetensors"
    convert(*caffe_files, file)
    return file


def test_compiled_programs_are_kept_for_the_next_command(monkeypatch, tmp_path):
    monkeypatch.setenv("MFVJAX_CACHE", str(tmp_path))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.delenv("JAX_COMPILATION_CACHE_MAX_SIZE", raising=False)
    script = (
        "import mfvjax.cli; mfvjax.cli.keep_compiled_programs()\n"
        "import jax, pathlib, sys\n"
        "jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)\n"
        "jax.jit(lambda x: x @ x)(jax.numpy.ones((2, 2)))\n"
        "print(jax.config.jax_compilation_cache_max_size)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{2**30}\n"), done.stderr
    assert list((tmp_path / "compiled").glob("jit__lambda*"))

    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "my own")
    mfvjax.cli.keep_compiled_programs()
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "my own"


def in_a_process(*arguments, **options):
    code = "import sys; from mfvjax.cli import main; sys.argv[0] = 'mfvjax'; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        **options,
    )


def commands():
    files = (ROOT / "mfvjax" / "cli").glob("[!_]*.py")
    return sorted(file.stem.replace("_", "-") for file in files)


def test_help_lists_every_command(run):
    code, out, _ = run("--help")
    assert code == 0
    assert {"convert", "fetch", "info"} <= set(commands())
    for name in commands():
        assert f" {name} " in out


@pytest.mark.parametrize("name", commands())
def test_every_command_explains_itself(run, name):
    code, out, _ = run(name, "--help")
    assert code == 0
    assert f"Usage: mfvjax {name}" in out


def test_the_help_of_fetch_names_every_network(run):
    out = " ".join(run("fetch", "--help")[1].replace("│", " ").split())
    assert all(name in out for name in SOURCES)


def test_a_command_is_one_small_file(run, tmp_path, monkeypatch):
    (tmp_path / "say_hello.py").write_text(
        'def command(name: str) -> None:\n    """Say hello."""\n    print(f"hello {name}")\n'
    )
    monkeypatch.setattr(mfvjax.cli, "__path__", [*mfvjax.cli.__path__, str(tmp_path)])
    assert run("say-hello", "you")[:2] == (0, "hello you\n")
    monkeypatch.delitem(sys.modules, "mfvjax.cli.say_hello")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ([], "Usage"),
        (["fly"], "No such command 'fly'"),
        (["info", "--wings", "net"], "No such option"),
        (["info"], "Usage"),
        (["convert", "a", "b"], "Missing option '-o'"),
        (["convert", "a", "b", "-o", "c", "--scale", "big"], "--scale"),
    ],
)
def test_wrong_usage_exits_with_2(run, arguments, match):
    code, out, error = run(*arguments)
    assert code == 2
    assert match in " ".join((out + error).replace("│", " ").split())


def test_a_failure_is_one_line_and_exits_with_1(run, monkeypatch):
    code, out, error = run("info", "nowhere.safetensors")
    assert (code, out) == (1, "")
    assert error == "mfvjax: error: no weights file nowhere.safetensors\n"
    monkeypatch.setenv("MFVJAX_TRACEBACK", "1")
    with pytest.raises(FileNotFoundError, match="no weights file"):
        run("info", "nowhere.safetensors")


def test_a_bug_is_not_hidden(run, monkeypatch):
    monkeypatch.setattr(Network, "load", lambda path: {}["missing"])
    with pytest.raises(KeyError):
        run("info", "net")


def test_processes_end_with_the_same_codes(tmp_path):
    failed = in_a_process("info", tmp_path / "two\nlines.safetensors")
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
    assert "Traceback" not in failed.stderr
    assert in_a_process("info").returncode == 2


def test_a_closed_pipe_is_no_error(weights):
    command = f"{sys.executable} -c 'from mfvjax.cli import main; main()' info {weights} --json"
    piped = subprocess.run(
        ["bash", "-c", f"{command} | head -c 1"], cwd=ROOT, capture_output=True, text=True
    )
    assert piped.stdout == "{"
    assert piped.stderr == ""


def test_warnings_are_one_line(run, caffe_files, tmp_path):
    prototxt = tmp_path / "odd.prototxt"
    text = DEFINITION.replace("pad: 1 }", "pad: 1 unheard_of: 3 }", 1)
    prototxt.write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code, _, error = run(
            "convert", prototxt, caffe_files[1], "-o", tmp_path / "out.safetensors"
        )
    assert code == 0
    assert error.startswith("mfvjax: warning: ")
    assert "unheard_of" in error
    assert error.count("\n") == 1


def test_info_shows_every_layer(run, weights):
    code, out, _ = run("info", weights)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("small: 2,089 parameters, sha256 ")
    assert "input 33x28 BGR, mean [104.0, 117.0, 123.0], scale 1.0" in lines[1]
    assert "6 classes (no class names) in layer score" in lines[2]
    rows = {line.split()[0]: line.split()[1:] for line in lines[5:]}
    assert list(rows) == list(Network.load(weights).layers)
    assert rows["conv1"] == ["16x13x8", "8", "2x2", "5x5"]
    assert rows["prob"] == ["6", "6", "whole", "image", "fc"]


def test_info_as_json_says_the_same_as_the_network(run, weights):
    code, out, _ = run("info", weights, "--json")
    assert code == 0
    facts, network = json.loads(out), Network.load(weights)
    assert facts["fingerprint"] == network.fingerprint
    assert facts["num_parameters"] == sum(
        np.prod(s)
        for layer in network.forward.spec.parameter_shapes().values()
        for s in layer.values()
    )
    for entry, info in zip(facts["layers"], network.layers.values(), strict=True):
        field = info.receptive_field
        assert entry["name"] == info.name
        assert tuple(entry["shape"]) == info.shape
        assert entry["code_layer"] == network.code_layer(info.name)
        assert entry["receptive_field"] == (list(field.size) if field else None)


def test_names_that_look_like_markup_are_printed_as_they_are(run, tmp_path):
    prototxt, caffemodel = write_small_caffe(tmp_path)
    prototxt.write_text(DEFINITION.replace("pool2", "[red]pool2[/red]"))
    out = tmp_path / "odd.safetensors"
    assert run("convert", prototxt, caffemodel, "-o", out)[0] == 0
    assert " [red]pool2[/red] " in run("info", out)[1]


def test_converting_is_the_same_as_the_converter_alone(run, caffe_files, tmp_path):
    ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors"
    code, out, _ = run("convert", *caffe_files, "-o", ours)
    assert (code, out.strip()) == (0, str(ours))
    command = [sys.executable, "-m", "weights_convert", *caffe_files, "-o", theirs]
    subprocess.run(list(map(str, command)), cwd=ROOT, check=True, capture_output=True)
    assert Network.load(ours).fingerprint == Network.load(theirs).fingerprint


def test_every_option_of_converting_shows(run, caffe_files, tmp_path):
    def converted(*options):
        out = tmp_path / "out.safetensors"
        code, _, error = run("convert", *caffe_files, "-o", out, *options)
        assert code == 0, error
        return Network.load(out)

    names = tmp_path / "names.txt"
    names.write_text("ant\nbee\ncat\ndog\nemu\nfly\n")
    assert converted().name == "small"
    assert converted("--name", "mine").name == "mine"
    assert converted("--class-names", names).class_name(1) == "bee"
    assert converted("--channel-order", "RGB").preprocessing.channel_order == "RGB"
    assert converted("--mean", 1, 2, 3).preprocessing.mean == (1, 2, 3)
    assert converted("--scale", 0.5).preprocessing.scale == 0.5


def test_weights_left_out_are_named(run, caffe_files, tmp_path):
    prototxt = tmp_path / "short.prototxt"
    prototxt.write_text(DEFINITION[: DEFINITION.index('layer { name: "score"')])
    convert = ("convert", prototxt, caffe_files[1], "-o", tmp_path / "out.safetensors")
    code, _, error = run(*convert)
    assert code == 1
    assert "score" in error
    assert run(*convert, "--ignore-layer", "score")[0] == 0


@pytest.fixture
def tiny(caffe_files, tmp_path, monkeypatch):
    """A published network "tiny" whose weights are on a server, and nothing else."""
    prototxt, caffemodel = caffe_files
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("MFVJAX_CACHE", str(tmp_path / "cache"))
    with serve({"/small.caffemodel": caffemodel.read_bytes()}) as site:

        def published(file, **more):
            return RemoteFile(file.name, (f"{site.address}/{file.name}",), **more)

        source = Source(
            "tiny",
            "a tiny one",
            published(caffemodel, sha1=hashlib.sha1(caffemodel.read_bytes()).hexdigest()),
            published(prototxt),
        )
        monkeypatch.setitem(SOURCES, "tiny", source)
        monkeypatch.setattr(networks, "CLASS_NAMES", published(pathlib.Path("names.txt")))
        yield site


def test_fetching(run, tiny, caffe_files, tmp_path):
    code, out, error = run("fetch", "tiny", "--prototxt", caffe_files[0])
    assert code == 0
    assert out.strip() == str(tmp_path / "cache" / "tiny.safetensors")
    assert "note: no class names: " in error
    assert "small.caffemodel" in error  # the progress bar
    assert run("info", "tiny")[0] == 0
    asked = len(tiny.requests)
    names = tmp_path / "mine.txt"
    names.write_text("ant\nbee\ncat\ndog\nemu\nfly\n")
    given = ("--from", caffe_files[1], "--prototxt", caffe_files[0], "--class-names", names)
    assert run("fetch", "tiny", *given)[0] == 0
    assert Network.load("tiny").class_names is None  # it was there
    assert run("fetch", "tiny", *given, "--force")[0] == 0
    assert Network.load("tiny").class_name(5) == "fly"
    assert len(tiny.requests) == asked


def test_fetching_what_cannot_be_had(run, tiny):
    code, _, error = run("fetch", "tiny")
    assert code == 1
    assert error.splitlines()[-1].startswith(
        "mfvjax: error: deploy.prototxt could not be downloaded"
    )
    assert "--prototxt FILE" in error
    code, _, error = run("fetch", "vgg")
    assert (code, error.splitlines()[-1].startswith("mfvjax: error: no published")) == (1, True)


def test_the_package_is_the_command_too():
    done = subprocess.run(
        [sys.executable, "-m", "mfvjax", "--help"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    for command in ("run", "atlas", "facets", "visualize", "report", "replay", "convert", "info"):
        assert f" {command} " in done.stdout
