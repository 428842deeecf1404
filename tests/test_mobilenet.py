"""MobileNet as a user's Flax module: its layers, its padding, and its accuracy on photographs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from benchmarks.mobilenet import Depthwise, MobileNet, load_mobilenet

SIDE = 192


@pytest.fixture(scope="module")
def network(data_dir):
    weights = data_dir / "models/mobilenet_v1_0.75_192/weights.npz"
    return load_mobilenet(weights, data_dir / "synset_words.txt")


def middle(file):
    """The central 87.5 % of the shorter side, resized: what the figures were measured on."""
    photo = Image.open(file).convert("RGB")
    side = round(0.875 * min(photo.size))
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    box = (left, top, left + side, top + side)
    return np.asarray(photo.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box))


@pytest.fixture(scope="module")
def ranks(network, data_dir):
    """Rank of the right class of one photograph per class, the first being 0."""
    files = sorted((data_dir / "images/one_per_class").iterdir())  # WordNet ids: in class order
    ids = [name.split()[0] for name in network.class_names]
    assert [file.name.split("_")[0] for file in files] == ids
    ranks = []
    for start in range(0, len(files), 50):
        images = np.stack([middle(file) for file in files[start : start + 50]])
        scores = np.asarray(network.activations(images, "logits")["logits"])
        own = scores[np.arange(len(scores)), start + np.arange(len(scores))]
        ranks.extend((scores > own[:, None]).sum(1))
    return np.array(ranks)


def test_accuracy_is_that_of_the_independent_program(ranks):
    # Theirs are 0.770 and 0.944; a photograph may fall to the other side by another resampling.
    assert np.mean(ranks == 0) == pytest.approx(0.770, abs=0.005)
    assert np.mean(ranks < 5) == pytest.approx(0.944, abs=0.003)


def test_layers_and_classes(network):
    blocks = [f"block{i}" for i in range(1, 14)]
    assert list(network.layers) == ["conv0", *blocks, "pool", "logits"]
    assert network.layers["conv0"].shape == (96, 96, 24)
    assert network.layers["block13"].shape == (6, 6, 768)
    assert network.code_layer("logits") == "pool"
    assert network.logits_layer == "logits"
    assert network.class_name(0) == "n01440764 tench, Tinca tinca"


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(8, 8), (7, 9), (6, 5)])
def test_depthwise_is_the_grouped_convolution(stride, size):
    rng = np.random.default_rng(0)
    arrays = {"b/kernel": rng.normal(size=(3, 3, 1, 5)), "b/bias": rng.normal(size=5)}
    layer = Depthwise({k: v.astype(np.float32) for k, v in arrays.items()}, "b", stride)
    maps = jnp.asarray(rng.normal(size=(2, *size, 5)), jnp.float32)
    grouped = jax.lax.conv_general_dilated(
        maps,
        layer.kernel[...],
        (stride, stride),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=5,
    )
    theirs = np.clip(np.asarray(grouped) + arrays["b/bias"].astype(np.float32), 0, 6)
    np.testing.assert_allclose(layer(maps), theirs, atol=1e-5)


def test_missing_weights_are_named():
    with pytest.raises(KeyError, match="conv0/kernel"):
        MobileNet({})
