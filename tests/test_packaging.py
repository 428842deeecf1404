"""What an installation asks for and brings, on every system."""

import importlib.metadata
import importlib.resources
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.version import Version

import mfvjax

ROOT = pathlib.Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [Requirement(text) for text in PROJECT["dependencies"]]


def test_one_version_everywhere():
    assert mfvjax.__version__ == importlib.metadata.version("mfvjax")
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited
    assert cited[1] == mfvjax.__version__
    script = "import mfvjax; print(mfvjax.__version__)"
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == mfvjax.__version__


@pytest.mark.parametrize("package", ["mfvjax", "weights_convert"])
def test_annotations_are_for_users_too(package):
    assert importlib.resources.files(package).joinpath("py.typed").is_file()


@pytest.mark.parametrize(
    ("system", "machine", "has_packages"),
    [
        ("Linux", "x86_64", True),
        ("Linux", "aarch64", True),
        ("Darwin", "arm64", True),
        ("Darwin", "x86_64", False),
        ("Windows", "AMD64", False),
    ],
)
def test_array_record_is_asked_for_only_where_it_is_packaged(system, machine, has_packages):
    there = {**default_environment(), "platform_system": system, "platform_machine": machine}
    asked = [r.name for r in REQUIREMENTS if r.marker is None or r.marker.evaluate(there)]
    assert ("array_record" in asked) == has_packages
    assert "tensorflow-datasets" in asked


def test_extras_bring_accelerators():
    extras = PROJECT["optional-dependencies"]
    assert extras["cuda12"] == ["jax[cuda12]"]
    assert extras["tpu"] == ["jax[tpu]"]
    known = importlib.metadata.metadata("jax").get_all("Provides-Extra") or []
    assert {"cuda12", "tpu"} <= set(known)


def test_no_minimum_contradicts_what_is_installed_here():
    for requirement in REQUIREMENTS:
        if requirement.marker is None or requirement.marker.evaluate():
            installed = Version(importlib.metadata.version(requirement.name))
            assert installed in requirement.specifier, requirement
