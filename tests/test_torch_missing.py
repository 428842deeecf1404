"""PyTorch networks where PyTorch is not installed, or not in a version that serves."""

import importlib.metadata
import importlib.util

import pytest

from mfvjax import Network
from mfvjax.network import torch_errors, torch_zoo

INSTALL = r'pip install "mfvjax\[torch\]"'


@pytest.fixture
def installed(monkeypatch):
    """Makes it look as if just these packages were there, torch in some version."""

    def look(packages, version="2.9.1"):
        find, there = importlib.util.find_spec, {"torch", "torchax", "timm", "torchvision"}
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name: (name in packages or None) if name in there else find(name),
        )
        monkeypatch.setattr(importlib.metadata, "version", lambda name: version)

    return look


@pytest.mark.parametrize(
    ("packages", "missing"), [([], "torch"), (["torch"], "torchax"), (["torchax"], "torch")]
)
def test_what_is_missing_is_named_with_how_to_install_it(installed, packages, missing):
    installed(packages)
    with pytest.raises(ImportError, match=f"need {missing}, which is missing: {INSTALL}"):
        Network.from_torch(object(), input_size=(8, 8))


@pytest.mark.parametrize("version", ["2.13.0+cpu", "2.8.1", "3.0.0"])
def test_a_version_that_torchax_cannot_use_is_refused(installed, version):
    installed(["torch", "torchax"], version)
    with pytest.raises(
        ImportError, match=f"torch {version[:3]}.*it does with torch 2.9: {INSTALL}"
    ):
        Network.from_torch(object(), input_size=(8, 8))


@pytest.mark.parametrize("version", ["2.9.1", "2.9.1+cu128", "2.10.0"])
def test_a_version_that_it_can_use_passes(installed, version):
    installed(["torch", "torchax"], version)
    torch_errors.require_torch()


@pytest.mark.parametrize("zoo", torch_zoo.ZOOS)
def test_names_need_their_package(installed, zoo):
    installed(["torch", "torchax"])
    with pytest.raises(ImportError, match=f"need {zoo}, which is missing: {INSTALL}"):
        Network.load(f"{zoo}:resnet18")


@pytest.mark.parametrize(
    "address", ["torchvision:", "timm:@file.pth", "torchvision:resnet18@", "timm:"]
)
def test_half_an_address_is_refused(address):
    with pytest.raises(ValueError, match="is not of the form torchvision:NAME or timm:NAME"):
        Network.load(address)


def test_weights_go_into_an_address():
    joined = torch_zoo.with_weights("timm:vit_tiny_patch16_224", "runs/a@b.pth")
    assert joined == "timm:vit_tiny_patch16_224@runs/a@b.pth"
    with pytest.raises(ValueError, match=r"weights are for torchvision:NAME .*'compact' brings"):
        torch_zoo.with_weights("compact", "a.pth")
    with pytest.raises(ValueError, match=r"names its weights; leave out the other ones, 'c.pth'"):
        torch_zoo.with_weights("torchvision:resnet18@a.pth", "c.pth")
