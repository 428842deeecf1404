"""Prepared TensorFlow Datasets as an image source, read without TensorFlow.

``tfds`` hands out the encoded bytes and this package decodes them, so that a dataset's images get
the same treatment, limits and error messages as files do.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Sequence
from typing import Any

from mfvjax.domain import RGB, Domain
from mfvjax.images.decode import Decoding, check_pictures
from mfvjax.images.sources import EncodedSource, Path
from mfvjax.images.unreadable import UnreadableImageError

PREFIX = "tfds:"

# A name may hold a configuration and a version, a split may hold a slice:
# "imagenet_v2/matched:3.0.0/test", "imagenette:train[:50%]+validation".
_SPLIT = r"\w+(?:\[[^\]]*\])?"
# What tfds itself calls a dataset on disk. Namespaces ("huggingface:", "kaggle:"), paths, buckets
# and modules, all of which it would take as well, reach the network or run somebody's code.
_NAME = re.compile(r"[A-Za-z]\w*(?:/\w[\w.+-]*)?(?::(?:\d+|\*)\.(?:\d+|\*)\.(?:\d+|\*))?", re.ASCII)
_ADDRESS = re.compile(rf"{PREFIX}(?P<name>.+)[/:](?P<split>{_SPLIT}(?:\+{_SPLIT})*)")


class TfdsSource(EncodedSource):
    """A split of a dataset that was prepared in a form with random access.

    Names are ``name/split#index``. Nothing is downloaded or prepared here, and no dataset's code is
    run: ``tfds build NAME --file_format=array_record`` does that.

    Args:
      address: ``"tfds:NAME/SPLIT"`` or ``"tfds:NAME:SPLIT"``; the name may hold a configuration
        and a version, the split may be sliced, as in ``"tfds:imagenette:train[:50%]"``.
      data_dir: where datasets are kept; the default of tfds unless given.
      decoding: how bytes become RGB.
      domain: of the images, RGB or grey; see `mfvjax.images.decode.from_rgb`.
      image_feature: the feature that holds the image.
      label_feature: the feature that holds its class; a dataset without it has no labels.

    Raises:
      ModuleNotFoundError: tensorflow-datasets is not installed.
      ValueError: the address or the name has another form, the dataset is not prepared or prepared
        in a form without random access, the split is unknown or empty, there is no such image
        feature, or the domain is of no pictures.
    """

    def __init__(
        self,
        address: str,
        *,
        data_dir: Path | None = None,
        decoding: Decoding | None = None,
        domain: Domain = RGB,
        image_feature: str = "image",
        label_feature: str = "label",
    ):
        check_pictures(domain)
        match = _ADDRESS.fullmatch(address)
        if match is None:
            raise ValueError(f"{address!r} is not of the form tfds:NAME/SPLIT or tfds:NAME:SPLIT")
        name, split = match["name"], match["split"]
        if _NAME.fullmatch(name) is None:
            raise ValueError(
                f"{name!r} is not the name of a prepared dataset, as imagenette or "
                "imagenet_v2/matched:3.0.0; namespaces, modules and other places are not opened"
            )
        self._features, self._records = _open_split(name, split, data_dir, image_feature)
        self._image_feature, self._label_feature = image_feature, label_feature
        self._lock = threading.Lock()
        self.names = [f"{name}/{split}#{index}" for index in range(len(self._records))]
        self.decoding = Decoding() if decoding is None else decoding
        self.domain = domain

    @functools.cached_property
    def labels(self) -> Sequence[str] | None:  # type: ignore[override]
        """The class name of each image; the first use reads through the split."""
        if self._label_feature not in self._features:
            return None
        feature = self._features[self._label_feature]
        values = [self._records[i][self._label_feature] for i in range(len(self))]
        as_text = getattr(feature, "int2str", str)
        return [as_text(int(value)) for value in values]

    def encoded(self, index: int) -> bytes:
        """The image as it is stored; raises ``UnreadableImageError`` where it cannot be read."""
        try:
            with self._lock:  # one reader of a file at a time; decoding stays parallel
                image = self._records[index][self._image_feature]
        except IndexError:
            raise
        except Exception as error:  # whatever the record file's reader raises
            raise UnreadableImageError(self.names[index], str(error)) from error
        if not isinstance(image, bytes):
            raise UnreadableImageError(
                self.names[index], f"feature {self._image_feature!r} holds no encoded image"
            )
        return image


def _open_split(name: str, split: str, data_dir: Path | None, image: str) -> tuple[Any, Any]:
    """Features of the dataset and random access to its still encoded examples."""
    try:
        import tensorflow_datasets as tfds
        from tensorflow_datasets.core.read_only_builder import builder_from_files
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"dataset {name!r} needs the package tensorflow-datasets: pip install "
            "tensorflow-datasets array_record"
        ) from error
    try:
        # Not `tfds.builder`, which would look for code of the dataset and ask a server for it.
        builder = builder_from_files(name, data_dir=data_dir)
        features = builder.info.features
        if image in features:
            decoders = {image: tfds.decode.SkipDecoding()}
            return features, builder.as_data_source(split=split, decoders=decoders)
    # tfds has an error class of its own for each of many causes.
    except Exception as error:
        raise ValueError(
            f"dataset {name!r}, split {split!r}, cannot be opened in "
            f"{'the default folder' if data_dir is None else data_dir} (it must be prepared, as by "
            f"`tfds build {name} --file_format=array_record`): {str(error)[:500]}"
        ) from error
    raise ValueError(f"dataset {name!r} has the features {sorted(features)}, but no {image!r}")
