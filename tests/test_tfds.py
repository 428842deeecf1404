"""A real dataset, prepared by tfds itself without TensorFlow, read as an image source."""

import contextlib
import hashlib
import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mfvjax.images import Decoding, TfdsSource, UnreadableImageError, load_images, open_images

tfds = pytest.importorskip("tensorflow_datasets")

SIZES = [(20, 30), (31, 22), (25, 25), (40, 21), (21, 40)]


def encoded_image(index: int) -> bytes:
    """A JPEG or PNG of another size and level each; the last one is broken."""
    buffer = io.BytesIO()
    mode = "L" if index == 1 else "RGB"
    image = Image.new(mode, SIZES[index][::-1], 40 * index if mode == "L" else (40 * index, 9, 200))
    image.save(buffer, "PNG" if index % 2 else "JPEG")
    return buffer.getvalue() if index < 4 else buffer.getvalue()[:50]


class TinyPhotos(tfds.core.GeneratorBasedBuilder):
    """Four good images and a broken one, stored as they are."""

    # tfds looks for the source of a builder in a package with importlib_resources, which it does
    # not always bring along; a builder that is in no package it takes as it is.
    __module__ = "tiny_photos"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=["tench", "church"]),
            "weight": tfds.features.Scalar(dtype=np.float32),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._examples(range(5)), "test": self._examples([0])}

    def _examples(self, indices):
        for index in indices:
            example = {"image": io.BytesIO(encoded_image(index)), "label": index % 2, "weight": 1.0}
            yield index, example

    _generate_examples = _examples


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    builder = TinyPhotos(data_dir=folder, file_format="array_record")
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare()
    return folder


def order_of(source: TfdsSource) -> list[int]:
    """Which image each record is: tfds shuffles when it prepares."""
    prints = [hashlib.sha256(encoded_image(index)).hexdigest() for index in range(5)]
    return [prints.index(source.fingerprint(index)) for index in range(len(source))]


@pytest.mark.parametrize("address", ["tfds:tiny_photos/train", "tfds:tiny_photos:train"])
def test_names_labels_and_bytes(prepared, address):
    source = open_images(address, data_dir=prepared)
    assert list(source.names) == [f"tiny_photos/train#{index}" for index in range(5)]
    order = order_of(source)
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert list(source.labels) == [["tench", "church"][index % 2] for index in order]
    for row, index in enumerate(order):
        if index < 4:
            expected = Decoding().decode(encoded_image(index), name="")
            assert np.array_equal(source.read(row), expected)
            assert expected.shape == (*SIZES[index], 3)


def test_broken_records_are_skipped_by_name(prepared):
    source = open_images("tfds:tiny_photos/train", data_dir=prepared)
    images, report = load_images(source, size=(16, 16), on_error="skip", num_workers=4)
    broken = order_of(source).index(4)
    assert [image.name for image in report.skipped] == [f"tiny_photos/train#{broken}"]
    assert images.shape == (4, 16, 16, 3)
    with pytest.raises(UnreadableImageError, match=f"tiny_photos/train#{broken}"):
        load_images(source, size=(16, 16))


@pytest.mark.parametrize(
    ("split", "count"), [("train[:40%]", 2), ("train[1:4]", 3), ("train+test", 6), ("test", 1)]
)
def test_slices_and_sums_of_splits(prepared, split, count):
    for separator in "/:":
        source = open_images(f"tfds:tiny_photos{separator}{split}", data_dir=prepared)
        assert len(source) == count
    whole = open_images("tfds:tiny_photos:1.0.0/train+test", data_dir=prepared)
    assert source.fingerprint(0) in {whole.fingerprint(index) for index in range(6)}


def test_other_features(prepared):
    source = TfdsSource("tfds:tiny_photos/test", data_dir=prepared, label_feature="class")
    assert source.labels is None
    no_image = TfdsSource("tfds:tiny_photos/test", data_dir=prepared, image_feature="weight")
    with pytest.raises(UnreadableImageError, match=r"tiny_photos/test#0.*'weight' holds no enc"):
        no_image.read(0)
    with pytest.raises(
        ValueError, match=r"features \['image', 'label', 'weight'\], but no 'photo'"
    ):
        TfdsSource("tfds:tiny_photos/test", data_dir=prepared, image_feature="photo")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("tfds:tiny_photos", "is not of the form tfds:NAME/SPLIT or tfds:NAME:SPLIT"),
        (
            "tfds:no_such_set/train",
            r"'no_such_set', split 'train', cannot be opened.*Could not find data",
        ),
        ("tfds:tiny_photos/trian", "cannot be opened.*Unknown split 'trian'"),
        ("tfds:mnist/train", "must be prepared, as by `tfds build mnist --file_format=array_rec"),
        ("tfds:tiny_photos/test[:0]", r"split 'test\[:0\]', cannot be opened.* 0 length"),
    ],
)
def test_what_cannot_be_opened(prepared, address, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        open_images(address, data_dir=prepared)


def test_without_tensorflow_datasets(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ModuleNotFoundError, match="'mnist' needs the package tensorflow-datasets"):
        open_images("tfds:mnist/train")


def test_tensorflow_is_never_imported(prepared):
    """In a fresh process, which also does not know the builder's class."""
    code = f"""
import sys
from mfvjax.images import load_images, open_images
source = open_images("tfds:tiny_photos/train", data_dir={str(prepared)!r})
images, report = load_images(source, size=(8, 8), on_error="skip")
assert images.shape == (4, 8, 8, 3), images.shape
assert sorted(source.labels) == ["church", "church", "tench", "tench", "tench"], source.labels
assert "tensorflow" not in sys.modules
assert not any(name.startswith("tensorflow.") for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(
    "name",
    [
        "huggingface:mnist",
        "kaggle:a_set",
        "gs://bucket/set",
        "https://example.org/set",
        "../tiny_photos",
        "/etc/set",
        "package.module.Builder",
        "tiny_photos:experimental_latest",
        "tiny_photos:nightly",
        "tiny photos",
        "tiny_photos/../../x",
        "tiny_photos?data_dir=x",
    ],
)
def test_names_that_would_reach_the_network_or_code_never_reach_tfds(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)  # importing it would fail
    with pytest.raises(ValueError, match="is not the name of a prepared dataset"):
        open_images(f"tfds:{name}/train")


def test_a_dataset_that_is_not_prepared_asks_no_server_and_runs_no_code(tmp_path, monkeypatch):
    import socket

    def refuse(*_, **__):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(tfds, "builder", refuse)
    with pytest.raises(ValueError, match=r"mnist.*Could not find dataset files"):
        open_images("tfds:mnist/train", data_dir=tmp_path)
