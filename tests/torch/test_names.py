"""Networks of torchvision and timm by name."""

import json
import pathlib
import socket
import sys

import jax
import numpy as np
import pytest

from tests.torch.needs import torch_or_skip

torch = torch_or_skip("torchvision", "timm")

import huggingface_hub  # noqa: E402
import safetensors.torch  # noqa: E402
import timm  # noqa: E402
import torchvision  # noqa: E402

import mfvjax.cli  # noqa: E402
from mfvjax import Network  # noqa: E402
from mfvjax.network import torch_torchvision  # noqa: E402
from tests.torch.reference import randomized  # noqa: E402

TIMM = "test_resnet"  # of timm's own tests: the whole of an architecture, in small
IMAGES = np.random.default_rng(0).uniform(0, 255, (2, 160, 160, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def nothing_is_downloaded(monkeypatch, tmp_path):
    """Any connection fails; what torch and timm keep is an empty folder."""

    def refuse(*arguments, **options):
        raise AssertionError(f"a connection to {arguments[:1]}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repo, name: None)


def logits_of(module, images, mean, std):
    normal = (images / 255 - np.array(mean)) / np.array(std)
    with torch.no_grad():
        return module(torch.from_numpy(normal.astype(np.float32).transpose(0, 3, 1, 2))).numpy()


@pytest.fixture(scope="module")
def timm_module():
    torch.manual_seed(1)
    return randomized(timm.create_model(TIMM))


@pytest.fixture(scope="module")
def timm_file(timm_module, tmp_path_factory):
    file = tmp_path_factory.mktemp("timm") / "weights.safetensors"
    safetensors.torch.save_file(timm_module.state_dict(), file)
    return file


def test_a_network_of_timm_from_a_file(timm_module, timm_file):
    network = Network.load(f"timm:{TIMM}@{timm_file}")
    assert network.name == f"{TIMM} (weights.safetensors)"
    assert network.input_size == (160, 160)
    assert network.class_name(0) == "n01440764 tench, Tinca tinca"
    theirs = logits_of(timm_module, IMAGES, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    mine = network.activations(IMAGES, network.logits_layer)[network.logits_layer]
    np.testing.assert_allclose(mine, theirs, atol=1e-4 * np.abs(theirs).max())
    assert Network.load(f"timm:{TIMM}@{timm_file}") is network


def test_published_weights_of_timm_are_those_that_were_downloaded(
    timm_module, timm_file, monkeypatch
):
    def cached(repo, name):
        return str(timm_file) if (repo, name) == (f"timm/{TIMM}.r160_in1k", HUB) else None

    HUB = "model.safetensors"
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    network = Network.load(f"timm:{TIMM}")
    assert network.name == f"{TIMM} (r160_in1k)"
    theirs = logits_of(timm_module, IMAGES, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    mine = network.activations(IMAGES, network.logits_layer)[network.logits_layer]
    np.testing.assert_allclose(mine, theirs, atol=1e-4 * np.abs(theirs).max())


def test_a_file_is_opened_again_when_it_has_changed(timm_module, timm_file, tmp_path):
    file = tmp_path / "a.pth"
    torch.save(timm_module.state_dict(), file)
    first = Network.load(f"timm:{TIMM}@{file}")
    torch.save({n: t * 2 for n, t in timm_module.state_dict().items()}, file)
    second = Network.load(f"timm:{TIMM}@{file}")
    assert first.fingerprint != second.fingerprint
    same = Network.load(f"timm:{TIMM}@{timm_file}")
    assert first.fingerprint == same.fingerprint  # of the values, not of where they lie


def test_a_fine_tuned_file_tells_its_number_of_classes(tmp_path):
    module = randomized(timm.create_model(TIMM, num_classes=7))
    torch.save({"model": module.state_dict()}, tmp_path / "seven.pth")
    network = Network.load(f"timm:{TIMM}@{tmp_path / 'seven.pth'}")
    assert (network.num_classes, network.class_names) == (7, None)


def test_a_network_of_torchvision_from_a_file(tmp_path):
    module = randomized(torchvision.models.squeezenet1_1())
    torch.save(module.state_dict(), tmp_path / "squeezenet.pth")
    network = Network.load(f"torchvision:squeezenet1_1@{tmp_path / 'squeezenet.pth'}")
    assert network.name == "squeezenet1_1 (squeezenet.pth)"
    assert network.class_name(0) == "tench"
    assert network.input_size == (224, 224)
    images = np.random.default_rng(0).uniform(0, 255, (2, 224, 224, 3)).astype(np.float32)
    theirs = logits_of(module, images, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    mine = network.activations(images, "output")["output"]
    np.testing.assert_allclose(mine, theirs, atol=1e-4 * np.abs(theirs).max())


def test_random_weights_are_the_same_each_time_and_draw_nothing_from_torch():
    before = torch.random.get_rng_state()
    network = Network.load(f"timm:{TIMM}@random")
    assert torch.equal(torch.random.get_rng_state(), before)
    fingerprint, name = network.fingerprint, network.name
    assert (name, network.class_names) == (f"{TIMM} (random weights)", None)
    del network
    torch.manual_seed(7)
    assert Network.load(f"timm:{TIMM}@random").fingerprint == fingerprint


def test_a_backbone_has_no_classes():
    network = Network.load("timm:test_vit@random")
    assert network.num_classes == 1000
    assert network.resolve("blocks.1:3@cls").position == (0, 0)
    known = timm.get_pretrained_cfg("vit_small_patch16_224.dino")
    assert known.num_classes == 0
    backbone = Network.load("timm:vit_small_patch16_224.dino@random")
    assert (backbone.logits_layer, backbone.num_classes) == ("", 0)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("torchvision:resnet18", r"IMAGENET1K_V1 of torchvision:resnet18.*weights='IMAGENET1K_V1'"),
        ("torchvision:resnet50@IMAGENET1K_V1", "the weights IMAGENET1K_V1 of torchvision:resnet50"),
        ("torchvision:resnet50", "the weights IMAGENET1K_V2 of torchvision:resnet50 are not on"),
        (f"timm:{TIMM}", rf"r160_in1k of timm:{TIMM}.*timm.create_model\('{TIMM}', pretrained=Tru"),
        (f"timm:{TIMM}@nowhere.pth", "no weights file nowhere.pth"),
    ],
)
def test_weights_that_are_not_there_are_said_to_be_missing(address, message):
    with pytest.raises(FileNotFoundError, match=message):
        Network.load(address)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("torchvision:resnet5", "no network 'resnet5' that tells classes; there is resnet50"),
        ("torchvision:fcn_resnet50", "torchvision has no network 'fcn_resnet50' that tells class"),
        ("timm:vit_smal_patch16_224", "timm has no network .*; there is vit_small_patch16_224"),
        ("timm:resnet50.nonsense", "timm has no network 'resnet50.nonsense'"),
    ],
)
def test_unknown_names_tell_near_ones(address, message):
    with pytest.raises(ValueError, match=message):
        Network.load(f"{address}@random")


def test_a_file_for_another_network_is_refused(timm_file):
    with pytest.raises(
        ValueError, match=r"weights.safetensors does not fit SqueezeNet: missing: fe"
    ):
        Network.load(f"torchvision:squeezenet1_1@{timm_file}")


def test_downloads_of_torchvision_are_found_and_checked(tmp_path, monkeypatch):
    weights = torchvision.models.get_model_weights("squeezenet1_1").DEFAULT
    file = tmp_path / "hub/checkpoints" / weights.url.rpartition("/")[2]
    file.parent.mkdir(parents=True)
    torch.save(torchvision.models.squeezenet1_1().state_dict(), file)
    with pytest.raises(ValueError, match=r"is damaged: its SHA-256 is .*; download it again"):
        Network.load("torchvision:squeezenet1_1")
    monkeypatch.setattr(torch_torchvision, "check_hash", lambda file: None)
    assert torch_torchvision.find("squeezenet1_1", None).load().num_classes == 1000


def test_a_downloaded_file_tells_which_weights_it_has():
    known = torchvision.models.get_model_weights("vit_b_16")
    swag = known.IMAGENET1K_SWAG_E2E_V1
    file = pathlib.Path("/anywhere") / swag.url.rpartition("/")[2]
    assert torch_torchvision.find("vit_b_16", str(file)).preprocessing.input_size == (384, 384)
    assert torch_torchvision.find("vit_b_16", "mine.pth").preprocessing.input_size == (224, 224)


@pytest.mark.parametrize("name", ["inception_v3", "googlenet"])
def test_networks_that_normalize_by_themselves_do(name):
    module = torch_torchvision.find(name, None).build(10)
    assert module.transform_input
    assert module.fc.out_features == 10


def run_command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["mfvjax", *map(str, arguments)])
    try:
        return mfvjax.cli.main() or 0
    except SystemExit as stop:
        return stop.code


def test_the_command_line_takes_names_and_weights(timm_file, monkeypatch, capsys):
    assert run_command(monkeypatch, "info", f"timm:{TIMM}", "--weights", timm_file, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["name"] == f"{TIMM} (weights.safetensors)"
    by_address = Network.load(f"timm:{TIMM}@{timm_file}")
    assert facts["fingerprint"] == by_address.fingerprint
    assert facts["layers"][0]["name"] == "conv1.0"
    assert run_command(monkeypatch, "info", "compact", "--weights", timm_file) == 2
    assert "'compact' brings its own" in " ".join(capsys.readouterr().err.split())
    assert run_command(monkeypatch, "run", "-n", "torchvision:resnet18", "-u", "fc:1") == 1
    assert "are not on this machine. Download them once" in capsys.readouterr().err


def test_gradients_come_through(timm_file):
    network = Network.load(f"timm:{TIMM}@{timm_file}")

    def unit(images):
        return network.read(network.params, images)[network.logits_layer][:, 3].sum()

    gradient = jax.jit(jax.grad(unit))(jax.numpy.asarray(IMAGES))
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0
