"""A real network on real photographs."""

import cv2
import numpy as np
import pytest
from PIL import Image

from mfvjax.class_names import read_class_names
from mfvjax.network import Network

SIDE = 227


@pytest.fixture(scope="module")
def network(data_dir) -> Network:
    folder = data_dir / "models" / "squeezenet_v1.0"
    return Network.from_caffe(
        folder / "deploy.prototxt",
        folder / "squeezenet_v1.0.caffemodel",
        class_names=read_class_names(data_dir / "synset_words.txt"),
    )


@pytest.fixture(scope="module")
def photos(data_dir):
    """Files and classes of one photograph per class, in the order of the classes."""
    identifiers = [
        line.split()[0] for line in (data_dir / "synset_words.txt").read_text().splitlines()
    ]
    files = {
        file.name.split("_")[0]: file for file in (data_dir / "images/one_per_class").iterdir()
    }
    assert set(files) == set(identifiers)
    return [files[identifier] for identifier in identifiers]


def center_crop(file) -> np.ndarray:
    """The central square of a photograph, RGB."""
    photo = Image.open(file).convert("RGB")
    left, top = (photo.width - SIDE) // 2, (photo.height - SIDE) // 2
    return np.asarray(photo.crop((left, top, left + SIDE, top + SIDE)))


def scores(network, files) -> np.ndarray:
    images = np.stack([center_crop(file) for file in files])
    return np.asarray(network.activations(images, "pool_final")["pool_final"]).reshape(-1, 1000)


def test_scores_are_those_of_an_independent_pipeline(network, photos, data_dir):
    folder = data_dir / "models" / "squeezenet_v1.0"
    net = cv2.dnn.readNetFromCaffe(
        str(folder / "deploy.prototxt"), str(folder / "squeezenet_v1.0.caffemodel")
    )
    some = [photos[i] for i in (0, 497, 498, 569, 574, 701)]
    crops = [center_crop(file)[..., ::-1] for file in some]  # OpenCV's images are BGR
    net.setInput(cv2.dnn.blobFromImages(crops, mean=(104, 117, 123)))
    theirs = net.forward().reshape(-1, 1000)
    ours = scores(network, some)
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())
    assert network.class_name(498).startswith("cinema")
    assert network.class_name(int(ours[1].argmax())) == "church, church building"


@pytest.mark.slow
def test_accuracy_on_one_photograph_per_class(network, photos):
    """Measured with an independent PyTorch implementation on these crops: 0.625 and 0.838."""
    of_all = np.concatenate([scores(network, photos[i : i + 50]) for i in range(0, 1000, 50)])
    best = np.argsort(-of_all, axis=1)[:, :5]
    found = best == np.arange(1000)[:, None]
    assert found[:, 0].mean() == pytest.approx(0.625, abs=0.003)
    assert found.any(axis=1).mean() == pytest.approx(0.838, abs=0.003)
