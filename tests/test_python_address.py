"""Networks by the address of a user's own function, and that nobody else's code is run."""

import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
import textwrap

import pytest

from mfvjax.network import Network
from mfvjax.network.python_address import is_python_address
from mfvjax.pipeline import replay
from mfvjax.pipeline.sources import open_network
from mfvjax.store import write_run
from tests.run_example import example_run

MODULE = """
import jax.numpy as jnp
from mfvjax import Network

CALLS = []


def tiny():
    CALLS.append(1)

    def forward(params, net_input):
        maps = net_input[:, ::2, ::2] @ params
        return {"map": maps, "logits": maps.mean((1, 2))}

    return Network.from_function(forward, jnp.ones((3, 4)), input_size=(8, 6), name="tiny")


def weights():
    return {"w": 1}


def broken():
    return 1 / 0


def with_arguments(size):
    return size


_hidden = tiny
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current directory, with the user's modules in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    (tmp_path / "mine_here").mkdir()
    (tmp_path / "mine_here" / "__init__.py").write_text("")
    (tmp_path / "mine_here" / "networks.py").write_text(MODULE)
    (tmp_path / "needs_more.py").write_text("import no_such_thing_at_all")
    (tmp_path / "breaks.py").write_text("raise RuntimeError('no licence')")
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("mine_here", "needs_more", "breaks", "my_networks"):
            del sys.modules[name]


ADDRESS = "python:mine_here.networks:tiny"


def test_a_function_in_the_current_directory_gives_a_network(here):
    network = Network.load(ADDRESS)
    assert {name: info.shape for name, info in network.layers.items()} == {
        "map": (4, 3, 4),
        "logits": (4,),
    }
    assert sys.path[0] == str(here)


def test_the_function_is_called_once_while_its_network_is_in_use(here):
    network = Network.load(ADDRESS)
    assert Network.load(ADDRESS) is network
    assert open_network(ADDRESS, precision="float32") is network
    calls = sys.modules["mine_here.networks"].CALLS
    assert len(calls) == 1
    del network
    Network.load(ADDRESS)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("address", "match"),
    [
        ("python:mine_here", "is not of the form python:package.module:function"),
        ("python:../evil:run", "is not of the form"),
        ("python:a b:c", "is not of the form"),
        ("python:mine_here.networks:tiny()", "is not of the form"),
        ("python:nowhere_at_all.x:f", "no module 'nowhere_at_all', neither in the current dir"),
        ("python:mine_here.nothing:f", r"there is no module 'mine_here\.nothing'"),
        (
            "python:needs_more:f",
            "importing needs_more raised ModuleNotFoundError: .*'no_such_thing_at_all'.*line 1 of",
        ),
        ("python:breaks:f", r"importing breaks raised RuntimeError: no licence \(line 1 of breaks"),
        (
            "python:mine_here.networks:small",
            "module mine_here.networks has no function 'small'; it has: tiny, weights, broken",
        ),
        ("python:mine_here.networks:CALLS", "has no function 'CALLS'"),
        ("python:mine_here:f", "has no function 'f'; it has: none"),
        ("python:mine_here.networks:weights", "returned a dict, not a Network: make one with"),
        (
            "python:mine_here.networks:broken",
            r"raised ZeroDivisionError: division by zero \(line 23 of networks.py\)",
        ),
        ("python:mine_here.networks:with_arguments", "calling it without arguments raised TypeErr"),
    ],
)
def test_what_is_wrong_with_an_address_is_told(here, address, match):
    with pytest.raises(ValueError, match=match):
        Network.load(address)


def test_only_texts_with_the_prefix_are_addresses():
    assert is_python_address("python:a:b")
    assert not is_python_address("compact")
    assert not is_python_address(["python:a:b"])


@pytest.mark.parametrize("place", ["network", "discovery"])
def test_a_replay_runs_no_code_that_only_the_run_names(here, place):
    """Also where a made-up folder hides the name among other options."""
    options = {"network": ADDRESS, "images": "nowhere", "images_sha256": "", "unit": "map:1"}
    if place == "discovery":
        options |= {"network": "compact", "discovery": {"network": ADDRESS}}
    run = dataclasses.replace(example_run(), options=options)
    refusal = r"opening it runs code, .* name it yourself: network='py"
    if place == "discovery":
        refusal = r"an option 'discovery.network', which runs do not write down"
    with pytest.raises(ValueError, match=refusal):
        replay(run)
    assert "mine_here.networks" not in sys.modules
    if place == "network":
        with pytest.raises(FileNotFoundError, match="nowhere"):  # after the network, named again
            replay(run, network=ADDRESS, images="nowhere")
        assert "mine_here.networks" in sys.modules


def mfvjax(*arguments, folder):
    return subprocess.run(
        [sys.executable, "-m", "mfvjax", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "", "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
    )


def test_the_command_line_takes_addresses(here):
    done = mfvjax("info", ADDRESS, "--json", folder=here)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert (facts["name"], facts["input_size"]) == ("tiny", [8, 6])
    run = dataclasses.replace(
        example_run(),
        options={"network": ADDRESS, "images": "nowhere", "images_sha256": "", "unit": "map:1"},
    )
    (here / "mine_here" / "networks.py").write_text("print('was run')\n" + textwrap.dedent(MODULE))
    (here / "run").mkdir()
    write_run(run, here / "run")
    refused = mfvjax("replay", here / "run", folder=here)
    assert refused.returncode == 1
    assert "opening it runs code" in refused.stderr
    assert "was run" not in refused.stdout
    named = mfvjax("replay", here / "run", "--network", ADDRESS, "-i", "nowhere", folder=here)
    assert named.returncode == 1  # there are no such images
    assert "was run" in named.stdout


def test_the_example_of_the_readme_runs(here):
    """Its first block is the user's module; its command names the function in it."""
    text = (pathlib.Path(__file__).parents[1] / "README.md").read_text()
    section = text.partition("## Any network")[2].partition("\n## ")[0]
    code = re.search(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE)[1]
    (address,) = re.findall(r"mfvjax info (python:\S+)", section)
    (here / f"{address.split(':')[1]}.py").write_text(code)
    network = Network.load(address)
    assert {name: info.shape for name, info in network.layers.items()} == {
        "maps": (16, 16, 16),
        "code": (16,),
        "logits": (10,),
    }
    field = network.layers["maps"].receptive_field
    assert (field.size, field.stride, field.start) == ((8, 8), (4, 4), (-2, -2))
