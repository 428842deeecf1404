"""Networks from weights files, by path or by name."""

from __future__ import annotations

import json
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from mfvjax.cache import cache_dir
from mfvjax.models.graph import GraphSpec
from mfvjax.network import torch_zoo
from mfvjax.network.architectures import ModelForward
from mfvjax.network.caffe import STORED, from_graph
from mfvjax.network.derived import without_added
from mfvjax.network.face import Network
from mfvjax.network.python_address import is_python_address, open_python_address
from mfvjax.preprocess import Preprocessing

FORMAT, VERSION = "mfvjax-network", "1"
_REQUIRED = ("architecture", "name", "graph", "preprocessing", "logits_layer")


def load(path: str | os.PathLike[str]) -> Network:
    """Loads a network by the path of its ``.safetensors`` file, by name, or by an address.

    A name is that of a network bundled with the library, or of one that ``mfvjax fetch`` has placed
    in the user's cache directory; anything with a directory or ``.safetensors`` in it is a path.
    ``"python:package.module:function"`` runs code of the user's: the function, which makes the
    network; see `mfvjax.network.python_address`. ``"torchvision:NAME@FILE"``, ``"timm:NAME@FILE"``:
    networks of these packages; see `mfvjax.network.torch_zoo`.

    Args:
      path: as above.

    Raises:
      ValueError: the file is no weights file of this library, is damaged, or does not fit the
        network it describes; or the function is not there, fails, or makes no network; or as
        `mfvjax.network.torch_zoo.open_address`.
      FileNotFoundError: there is no such file, or no network of this name; the message says how
        to get one.
      ImportError: PyTorch is needed and missing, or has a version that does not serve.
    """
    text = os.fspath(path)
    if is_python_address(text):
        return open_python_address(text)
    if torch_zoo.is_address(text):
        return torch_zoo.open_address(text)
    file = pathlib.Path(text)
    is_name = file.name == text and file.suffix != ".safetensors" and not file.exists()
    if is_name:
        bundled = bundled_dir() / f"{text}.safetensors"
        file = bundled if bundled.is_file() else cache_dir() / bundled.name
    if not file.is_file():
        raise FileNotFoundError(_not_found(text, file, is_name))
    try:
        return _load_file(file)
    except (ValueError, RecursionError, safetensors.SafetensorError) as error:
        raise ValueError(f"{file}: {error}") from error


def save(network: Network, path: str | os.PathLike[str], *, dtype: str = "float32") -> None:
    """Writes a network as `load` reads it; the file appears whole or not at all.

    The name, preprocessing, class names and logits layer are kept; a code layer set by hand is not.

    Args:
      network: one of the library's models, not a user's own module.
      path: of the ``.safetensors`` file; an existing one is replaced.
      dtype: of the numbers in the file, "float32" or "float16".

    Raises:
      ValueError: the network is a user's own module, or has added layers, or `dtype` is another
        type.
      OSError: the file cannot be written.
    """
    forward = network.forward
    if without_added(network) is not network:
        raise ValueError(
            f"network {network.name!r} has layers that were added to it: save it as it was before, "
            "and directions in a file of their own (mfvjax.network.directions.save_directions)"
        )
    if not isinstance(forward, ModelForward):
        raise ValueError(
            f"network {network.name!r} is a module of your own: save its parameters as you "
            "like; only models of this library can be rebuilt from a file"
        )
    if dtype not in STORED:
        raise ValueError(f"weights are stored in one of {STORED}, not {dtype!r}")
    about = {
        "format": FORMAT,
        "version": VERSION,
        "architecture": forward.architecture,
        "name": network.name,
        "graph": forward.spec.to_json(),
        "preprocessing": network.preprocessing.to_json(),
        "logits_layer": network.logits_layer,
    }
    if network.class_names is not None:
        about["class_names"] = json.dumps(network.class_names)
    arrays = {
        f"{layer}/{name}": np.asarray(values, dtype)
        for layer, named in network.params.items()
        for name, values in named.items()
    }
    file = pathlib.Path(path)
    with tempfile.TemporaryDirectory(prefix=".save-", dir=file.parent) as folder:
        written = pathlib.Path(folder) / file.name
        safetensors.numpy.save_file(arrays, written, about)
        os.replace(written, file)


def bundled_dir() -> pathlib.Path:
    """Where the weights files are that come with the library, such as ``compact``."""
    return pathlib.Path(__file__).parents[1] / "data"


def _not_found(text: str, file: pathlib.Path, is_name: bool) -> str:
    if not is_name:
        return f"no weights file {file}"
    return (
        f"no network {text!r} in {file.parent}: fetch it with `mfvjax fetch {text}`, or give the "
        "path of a .safetensors file (made with `mfvjax convert`), torchvision:NAME or timm:NAME"
    )


def _load_file(file: pathlib.Path) -> Network:
    with safetensors.safe_open(file, framework="numpy") as handle:
        about = _metadata(handle.metadata() or {})
        spec = GraphSpec.from_json(about["graph"])
        return from_graph(
            spec,
            _Tensors(handle),
            architecture=about["architecture"],
            name=about["name"],
            preprocessing=Preprocessing.from_json(about["preprocessing"]),
            class_names=_class_names(about.get("class_names")),
            logits_layer=about["logits_layer"],
        )


def _metadata(metadata: dict[str, str]) -> dict[str, str]:
    if metadata.get("format") != FORMAT:
        raise ValueError(f"is not a network of this library (its metadata lack format={FORMAT})")
    if metadata.get("version") != VERSION:
        raise ValueError(f"has format version {metadata.get('version')!r}; this reads {VERSION!r}")
    missing = [key for key in _REQUIRED if key not in metadata]
    if missing:
        raise ValueError(f"its metadata lack {', '.join(missing)}")
    return metadata


def _class_names(text: str | None) -> tuple[str, ...] | None:
    names = None if text is None else json.loads(text)
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("its class names are not a list of texts")
    return tuple(names)


class _Tensors(Mapping[str, np.ndarray]):
    """The tensors of an open file, each read when asked for, so that one at a time is copied."""

    def __init__(self, handle: Any) -> None:
        self._handle, self._names = handle, tuple(handle.keys())

    def __getitem__(self, name: str) -> np.ndarray:
        return self._handle.get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
