"""Published architectures: every layer and the gradients, against PyTorch."""

import functools

import jax
import numpy as np
import pytest

from tests.torch.needs import torch_or_skip

torch = torch_or_skip("torchvision")

import torchvision  # noqa: E402

from mfvjax import Network  # noqa: E402
from tests.torch.reference import (  # noqa: E402
    activations_of,
    gradient_of,
    net_inputs,
    randomized,
)

WIDE = (64, 96)  # its sides tell rows, columns and channels apart
CLOSE = 1e-4  # of the largest magnitude in a layer: rounding of float32, in another order
MODELS = {  # options, size, and a layer whose gradient is compared
    "resnet18": ({}, WIDE, "layer3.0.conv2"),
    "mobilenet_v3_small": ({}, WIDE, "features.5.block.1"),
    "efficientnet_b0": ({}, WIDE, "features.4.1"),
    "convnext_tiny": ({}, WIDE, "features.5.2"),
    "vit_b_16": ({"image_size": 64}, (64, 64), "encoder.layers.encoder_layer_7.mlp"),
}
HEAVY = ("mobilenet_v3_small", "efficientnet_b0")  # compile longest, and show nothing of their own
LARGE = [pytest.param(name, True, marks=pytest.mark.slow) for name in MODELS]
SMALL = [
    pytest.param(name, False, marks=[pytest.mark.slow] if name in HEAVY else []) for name in MODELS
]


@functools.cache
def made(name, large):
    """The module, its network, its input, and what PyTorch makes of it."""
    options, size, _ = MODELS[name]
    torch.manual_seed(0)
    options, size = ({}, (224, 224)) if large else (options, size)
    module = randomized(torchvision.models.get_model(name, weights=None, **options))
    network = Network.from_torch(module, input_size=size)
    net_input = net_inputs(size)
    return module, network, net_input, activations_of(module, net_input)


def channels_first(activation):
    return np.moveaxis(np.asarray(activation), -1, 1)


@pytest.mark.parametrize(("name", "large"), [*SMALL, *LARGE])
def test_every_layer_agrees_with_torch(name, large):
    _, network, net_input, reference = made(name, large)
    ours = network.activations(net_input.transpose(0, 2, 3, 1))
    of_submodules = {layer for layer in ours if not layer.endswith(".input")}
    assert of_submodules == reference.keys() - {""}
    for layer in of_submodules:
        theirs = reference[layer]
        mine = np.asarray(ours[layer])
        if mine.ndim == 4 and mine.shape != theirs.shape:
            mine = channels_first(mine)
        assert np.abs(mine - theirs).max() <= CLOSE * np.abs(theirs).max(), layer
    assert len(of_submodules) > 60


@pytest.mark.parametrize("name", ["resnet18", "convnext_tiny"])
def test_maps_are_turned_to_channels_last(name):
    _, network, _, _ = made(name, False)
    maps = {layer: info.shape for layer, info in network.layers.items() if len(info.shape) == 3}
    wrong = {n: s for n, s in maps.items() if s[:2] != (1, 1) and s[0] * WIDE[1] != s[1] * WIDE[0]}
    assert len(maps) > 50
    assert not wrong


def test_tokens_are_positions():
    _, network, _, _ = made("vit_b_16", False)
    shapes = {name: info.shape for name, info in network.layers.items()}
    assert shapes["encoder.layers.encoder_layer_5"] == (17, 768)
    assert shapes["encoder.layers.encoder_layer_5.self_attention"] == (17, 768)
    assert shapes["conv_proj"] == (4, 4, 768)
    assert network.code_layer("heads") == "heads.head.input"  # the class token alone


@pytest.mark.parametrize(("name", "large"), SMALL)
def test_gradients_agree_with_torch(name, large):
    module, network, net_input, _ = made(name, large)
    layer = MODELS[name][2]
    is_tokens = len(network.layers[layer].shape) == 2

    def total(net_input):
        activation = network.forward(network.params, net_input)[layer]
        return activation[:, 3].sum() if is_tokens else activation[..., 3].sum()

    images = net_input.transpose(0, 2, 3, 1)
    mine = channels_first(jax.jit(jax.grad(total))(images))
    theirs = gradient_of(module, net_input, layer, 3)
    assert np.abs(theirs).max() > 0
    np.testing.assert_allclose(mine, theirs, atol=CLOSE * np.abs(theirs).max())


def test_code_layers_and_receptive_fields_of_a_residual_network():
    _, network, _, _ = made("resnet18", False)
    assert network.logits_layer == "fc"
    assert network.num_classes == 1000
    assert network.code_layer("fc") == "fc.input"
    assert network.layers["fc.input"].shape == (512,)
    assert network.layers["layer1.0.conv1"].receptive_field.stride == (4, 4)
    assert network.layers["layer1.0.conv1"].receptive_field.size == (19, 19)


def test_what_is_done_in_place_later_does_not_show():
    _, network, net_input, reference = made("resnet18", False)
    ours = network.activations(net_input.transpose(0, 2, 3, 1), ["bn1", "relu"])
    assert reference["bn1"].min() < -0.1
    assert float(ours["bn1"].min()) < -0.1
    assert float(ours["relu"].min()) == 0
