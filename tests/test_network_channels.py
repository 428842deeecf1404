"""Networks of images with one channel, two or five: the number is the domain's, nowhere fixed."""

import cv2
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from benchmarks.networks import random_arrays
from mfvjax.domain import GREY, RGB, Domain
from mfvjax.models.compact import compact_graph
from mfvjax.models.graph import GraphSpec
from mfvjax.network import Network
from mfvjax.network.caffe import from_graph
from mfvjax.preprocess import Preprocessing
from mfvjax.types import ReceptiveField
from tests.caffe_writer import Node, write_nodes
from tests.small_caffe import SIZE, write_small_caffe

SOUND = Domain(2, -80.0, 0.0, "spectrogram")
EATS_GREY = Preprocessing(SIZE, mean=30.0, scale=0.5, domain=GREY)
EATS_SOUND = Preprocessing(SIZE, mean=(-40.0, -30.0), scale=1 / 40, domain=SOUND)


def images(domain, count=2, seed=0):
    draw = np.random.default_rng(seed).uniform(
        domain.low, domain.high, (count, *SIZE, domain.channels)
    )
    return draw.astype(np.float32)


@pytest.mark.parametrize("eats", [EATS_GREY, EATS_SOUND], ids=["grey", "sound"])
def test_a_caffe_network_of_other_images_is_opencvs(eats, tmp_path):
    channels, rng = eats.domain.channels, np.random.default_rng(1)
    shapes = [((6, channels, 3, 3), (6,)), ((5, 6 * 16 * 13), (5,))]
    blobs = [[rng.normal(size=s).astype(np.float32) for s in both] for both in shapes]
    conv = {"num_output": 6, "kernel_size": 3, "stride": 2}
    nodes = [
        Node("conv", "Convolution", ["data"], ["conv"], conv, blobs[0]),
        Node("relu", "ReLU", ["conv"], ["relu"]),
        Node("fc", "InnerProduct", ["relu"], ["fc"], {"num_output": 5}, blobs[1]),
    ]
    files = write_nodes(tmp_path, nodes, dims=(1, channels, *SIZE))
    network = Network.from_caffe(*files, preprocessing=eats)
    assert network.input_shape == (*SIZE, channels)
    some = images(eats.domain)
    net_input = (some - np.asarray(eats.mean, np.float32)) * np.float32(eats.scale)
    net = cv2.dnn.readNetFromCaffe(*map(str, files))
    net.setInput(np.ascontiguousarray(np.moveaxis(net_input, -1, 1)))
    theirs = dict(zip(("relu", "fc"), net.forward(["relu", "fc"]), strict=True))
    for layer, expected in theirs.items():
        ours = np.moveaxis(np.asarray(network.activations(some, layer)[layer]), -1, 1)
        np.testing.assert_allclose(ours, expected, atol=1e-4 * np.abs(expected).max())
    for wrong in (images(RGB), some[..., 0]):
        with pytest.raises(ValueError, match=rf"shape \(batch, 33, 28, {channels}\), not"):
            network.activations(wrong)


@pytest.mark.parametrize(
    ("channels", "domain"), [(1, "domain=GREY"), (2, r"domain=Domain\(2, low,")]
)
def test_a_definition_of_other_images_asks_for_their_domain(channels, domain, tmp_path):
    files = write_small_caffe(tmp_path, channels=channels)
    with pytest.raises(ValueError, match=rf"takes images of {channels} channels: give .*{domain}"):
        Network.from_caffe(*files)
    with pytest.raises(
        ValueError, match=f"makes images of 3 channels, network .* takes {channels}"
    ):
        Network.from_caffe(*files, preprocessing=Preprocessing(SIZE))


def test_a_saved_network_keeps_its_domain(tmp_path):
    files = write_small_caffe(tmp_path, channels=2)
    network = Network.from_caffe(*files, preprocessing=EATS_SOUND)
    network.save(tmp_path / "two.safetensors")
    loaded = Network.load(tmp_path / "two.safetensors")
    assert loaded.preprocessing == EATS_SOUND
    assert loaded.fingerprint == network.fingerprint
    some = images(SOUND)
    np.testing.assert_array_equal(
        loaded.activations(some, "prob")["prob"], network.activations(some, "prob")["prob"]
    )


@pytest.mark.parametrize("architecture", ["compact", "caffe_graph"])
def test_the_models_written_out_take_other_images(architecture):
    plain = compact_graph(4)
    spec = GraphSpec("grey", "data", (96, 96, 1), plain.layers)
    network = from_graph(
        spec,
        random_arrays(spec),
        architecture=architecture,
        name="grey",
        preprocessing=Preprocessing((96, 96), domain=GREY),
        logits_layer="fc8",
    )
    assert network.params["conv1"]["kernel"].shape == (9, 9, 1, 48)
    assert network.activations(np.zeros((1, 96, 96, 1)), "fc8")["fc8"].shape == (1, 4)


class Nnx(nnx.Module):
    def __init__(self, channels):
        self.conv = nnx.Conv(channels, 4, (3, 3), padding="VALID", rngs=nnx.Rngs(0))
        self.head = nnx.Linear(4, 3, rngs=nnx.Rngs(0))

    def __call__(self, x):
        maps = nnx.relu(self.conv(x))
        return {"maps": maps, "logits": self.head(maps.mean((1, 2)))}


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3, name="logits")(
            nn.relu(nn.Conv(4, (3, 3), padding="VALID", name="maps")(x)).mean((1, 2))
        )


@pytest.mark.parametrize("kind", ["nnx", "linen"])
def test_users_modules_take_the_channels_of_their_domain(kind):
    if kind == "nnx":
        network = Network.from_nnx(Nnx(2), preprocessing=EATS_SOUND)
    else:
        variables = Linen().init(jax.random.key(0), jnp.zeros((1, *SIZE, 2)))
        network = Network.from_linen(Linen(), variables, preprocessing=EATS_SOUND)
    assert network.logits_layer == "logits"
    field = network.layers["maps"].receptive_field  # measured with images of two channels
    assert field == ReceptiveField((3, 3), (1, 1), (0, 0))
    some = images(SOUND)
    out = network.activations(some, "maps")["maps"]
    assert out.shape == (2, SIZE[0] - 2, SIZE[1] - 2, 4)
    moved = np.roll(some, 1, axis=-1)  # each channel counts
    assert np.abs(np.asarray(network.activations(moved, "maps")["maps"] - out)).max() > 1e-3
    with pytest.raises(ValueError, match=r"shape \(batch, 33, 28, 2\), not \(2, 33, 28, 3\)"):
        network.activations(images(RGB))
