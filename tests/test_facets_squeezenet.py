"""Codes, top images and patches of a real network, against its plain activations."""

import numpy as np
import pytest

from mfvjax.facets import compute_codes, load_patches, mean_color, top_images, unit_boxes
from mfvjax.images import load_images, open_images
from mfvjax.network import Network
from mfvjax.types import Unit

LAYERS = ("fire2/concat", "fire5/concat", "fire9/concat", "pool_final")
COUNT = 8


@pytest.fixture(scope="module")
def network(data_dir):
    folder = data_dir / "models" / "squeezenet_v1.0"
    return Network.from_caffe(folder / "deploy.prototxt", folder / "squeezenet_v1.0.caffemodel")


@pytest.fixture(scope="module")
def source(data_dir):
    """Two churches of 224x224, smaller than the network's input, and six larger pictures."""
    small = sorted((data_dir / "images" / "imagenette" / "n03028079").iterdir())
    large = sorted((data_dir / "images" / "one_per_class").iterdir())
    return open_images([small[0], small[400], *large[::170]])


@pytest.fixture(scope="module")
def images(network, source):
    return load_images(source, size=network.input_size)[0]


def read(network, images) -> dict[str, np.ndarray]:
    """Always the same layers and batch, so that there is one compilation."""
    return {name: np.asarray(x) for name, x in network.activations(images, LAYERS).items()}


# Of fire5/concat, whose field is 59 pixels every 8, the first from -20 on, in 227.
INSIDE = (slice(3, 24), slice(3, 24))


def test_codes(network, source, images):
    church, hidden = compute_codes(
        network, source, units=["pool_final:497", "fire5/concat:30"], batch_size=3
    )
    real = read(network, images)
    assert (church.layer, hidden.layer) == ("fire9/concat", "fire5/concat")
    assert church.codes.shape == (COUNT, 512)
    assert church.activations[:2].min() > church.activations[2:].max()  # the two churches
    # float32 convolutions over batches of other sizes; activations reach thousands.
    close = {"rtol": 1e-4, "atol": 1e-2}
    logits = real["pool_final"].reshape(COUNT, -1)[:, 497]
    np.testing.assert_allclose(church.activations, logits, **close)
    np.testing.assert_allclose(church.codes, real["fire9/concat"].mean((1, 2)), **close)
    maps = real["fire5/concat"]
    inside = maps[:, *INSIDE, 30].max((1, 2))
    np.testing.assert_allclose(hidden.activations, inside, **close)
    rows, columns = hidden.positions.T
    np.testing.assert_allclose(hidden.codes, maps[np.arange(COUNT), rows, columns], **close)


def test_top_images_of_all_channels_of_a_layer_and_all_classes(network, source, images):
    units = [Unit("fire5/concat", index) for index in range(256)]
    units += [Unit("pool_final", index) for index in range(1000)]
    results = top_images(network, source, units=units, count=3, batch_size=3)
    real = read(network, images)
    maps = real["fire5/concat"]
    inside = maps[:, *INSIDE].max((1, 2))
    table = np.concatenate([inside, real["pool_final"].reshape(COUNT, -1)], axis=1)
    expected = -np.sort(-table, axis=0)[:3].T
    found = np.stack([result.activations for result in results])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-2)
    for channel in (3, 100, 255):
        rows, columns = results[channel].positions.T
        at_positions = maps[results[channel].indices, rows, columns, channel]
        np.testing.assert_allclose(at_positions, expected[channel], rtol=1e-4, atol=1e-2)


def test_an_early_unit_sees_nothing_outside_its_patch(network, images):
    position = np.array([[20, 30]])
    (box,) = unit_boxes(network, "fire2/concat:5", position)
    changed = 255 - images
    changed[:, box.top : box.bottom, box.left : box.right] = images[
        :, box.top : box.bottom, box.left : box.right
    ]
    before, after = read(network, images)["fire2/concat"], read(network, changed)["fire2/concat"]
    np.testing.assert_allclose(after[:, 20, 30], before[:, 20, 30], rtol=1e-5, atol=1e-2)
    # A field further the unit sees the change.
    assert np.abs(after[:, 20, 36] - before[:, 20, 36]).max() > 100


def test_patches_at_the_border(network, source):
    assert mean_color(network) == (123.0, 117.0, 104.0)
    at = np.array([[0, 0], [20, 30]])
    patches, valid = load_patches(network, source, "fire2/concat:5", np.array([4, 5]), at)
    assert patches.shape == (2, 19, 19, 3)
    assert valid.sum(axis=(1, 2)).tolist() == [15 * 15, 19 * 19]
    assert (patches[0, :4] == (123, 117, 104)).all()
    late, _ = load_patches(network, source, "fire9/concat:5", np.array([4, 5]), at // 4)
    assert late.shape == (2, 155, 155, 3)
