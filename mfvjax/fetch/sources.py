"""Published networks: where their files are, and what their contents must hash to.

The hashes of the Berkeley weights stand in the ``readme.md`` beside each model in Caffe's
repository, that of the SqueezeNet 1.1 weights in ``testdata/dnn/download_models.py`` of
opencv_extra, the others in ``dnn_image_classification_demo.m`` of mexopencv.
"""

from __future__ import annotations

import dataclasses
from typing import Any

_BERKELEY = "http://dl.caffe.berkeleyvision.org"
_CAFFE = "https://raw.githubusercontent.com/BVLC/caffe/master/models"
_SQUEEZENET = "https://raw.githubusercontent.com/forresti/SqueezeNet/master"
_SQUEEZENET_PINNED = "https://raw.githubusercontent.com/DeepScale/SqueezeNet/b5c3f1a23713c8b3fd7b801d229f6b04c64374a5"


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A file on the web.

    Attributes:
      name: file name.
      addresses: tried in turn.
      sha1: published hash (hex); ``None`` if nobody has published one: then the SHA-256 of
        the first download is recorded, and later ones must agree.
    """

    name: str
    addresses: tuple[str, ...]
    sha1: str | None = None


@dataclasses.dataclass(frozen=True)
class Source:
    """A published network.

    Attributes:
      name: what ``mfvjax fetch`` and ``Network.load`` call it.
      about: one line for people.
      weights: the ``.caffemodel``.
      definition: the ``.prototxt``; ``None`` where the library writes its own.
      ignore_layers: patterns of weights that only training used.
    """

    name: str
    about: str
    weights: RemoteFile
    definition: RemoteFile | None = None
    ignore_layers: tuple[str, ...] = ()


CLASS_NAMES = RemoteFile(
    "synset_words.txt",
    ("https://raw.githubusercontent.com/opencv/opencv/3.3.1/samples/data/dnn/synset_words.txt",),
)
"""The ImageNet classes in the order of all these networks; no hash of this file is published."""


def _squeezenet(version: str, weights_sha1: str, definition_sha1: str) -> Source:
    folder = f"SqueezeNet_v{version}"

    def file(name: str, sha1: str) -> RemoteFile:
        roots = (_SQUEEZENET, _SQUEEZENET_PINNED)
        return RemoteFile(name, tuple(f"{root}/{folder}/{name}" for root in roots), sha1)

    return Source(
        f"squeezenet_v{version}",
        f"SqueezeNet {version} (Iandola et al. 2016), 5 MB",
        file(f"squeezenet_v{version}.caffemodel", weights_sha1),
        file("deploy.prototxt", definition_sha1),
    )


def _berkeley(name: str, file: str, sha1: str, about: str, **more: Any) -> Source:
    weights = RemoteFile(f"{file}.caffemodel", (f"{_BERKELEY}/{file}.caffemodel",), sha1)
    return Source(name, about, weights, **more)


_ALL = (
    _berkeley(
        "caffenet",
        "bvlc_reference_caffenet",
        "4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46",
        "BVLC reference CaffeNet, unrestricted use, 244 MB",
    ),
    _berkeley(
        "alexnet",
        "bvlc_alexnet",
        "9116a64c0fbe4459d18f4bb6b56d647b63920377",
        "BVLC AlexNet, unrestricted use, 244 MB",
    ),
    _berkeley(
        "googlenet",
        "bvlc_googlenet",
        "405fc5acd08a3bb12de8ee5e23a96bec22f08204",
        "BVLC GoogLeNet, unrestricted use, 54 MB",
        definition=RemoteFile(
            "deploy.prototxt",
            (f"{_CAFFE}/bvlc_googlenet/deploy.prototxt",),
            "7060345c8012294baa60eeb5901d2d3fd89d75fc",
        ),
        ignore_layers=("loss1/*", "loss2/*"),
    ),
    _squeezenet(
        "1.1",
        "3397f026368a45ae236403ccc81cfcbe8ebe1bd0",
        "c226bbaaa4d83e2a3d3727618091e897e5f2e3aa",
    ),
    _squeezenet(
        "1.0",
        "579d0beb658e43c45937bf8bb5e4034fea4e1f69",
        "733249be856b9cd28ce929cd7c41874cf817c3c6",
    ),
)

SOURCES: dict[str, Source] = {source.name: source for source in _ALL}
"""By name."""

ALIASES = {"squeezenet": "squeezenet_v1.1"}


def find_source(name: str) -> Source:
    """The source called `name`.

    Raises:
      ValueError: there is none; the message lists those there are.
    """
    source = SOURCES.get(ALIASES.get(name, name))
    if source is None:
        known = ", ".join([*SOURCES, *ALIASES])
        raise ValueError(f"no published network {name!r}; known: {known}")
    return source
