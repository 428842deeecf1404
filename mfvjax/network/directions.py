"""Directions in a layer, as a value and as a file: probes, NMF components, a decoder's rows."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import tempfile
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import Array, Float

from mfvjax.network.derived import add_layer
from mfvjax.network.face import Network
from mfvjax.network.units import find_layer
from mfvjax.types import Params
from mfvjax.unit_names import checked_names

_TENSORS = {"vectors", "bias"}


@dataclasses.dataclass(frozen=True, eq=False)
class Directions:
    """Directions in the channels of a layer: ``activation . vector + bias`` for each.

    Attributes:
      layer: of the network, in which they are directions.
      vectors: ``(n, d)`` floats, one row per direction, kept as float32 and of their own length: a
        longer one gives a larger activation.
      names: one per direction.
      bias: ``(n,)`` floats; none if ``None``.
      name: of the layer whose units they become.

    Raises:
      ValueError: there are no vectors, one is zero or not finite, or names or biases are of another
        number.
    """

    layer: str
    vectors: np.ndarray
    names: tuple[str, ...] | None = None
    bias: np.ndarray | None = None
    name: str = "probes"

    def __post_init__(self) -> None:
        vectors = _floats("vectors", self.vectors)
        if vectors.ndim != 2 or 0 in vectors.shape:
            raise ValueError(
                f"vectors must be one row per direction, (n, d), not of shape {vectors.shape}"
            )
        zero = np.flatnonzero(~vectors.any(axis=1))
        if len(zero):
            raise ValueError(f"vector {zero[0]} is zero, which is no direction")
        object.__setattr__(self, "vectors", vectors)
        if self.names is not None:
            object.__setattr__(self, "names", checked_names(self.names, len(vectors)))
        if self.bias is not None:
            bias = _floats("bias", self.bias)
            if bias.shape != (len(vectors),):
                raise ValueError(
                    f"bias of shape {bias.shape} for {len(vectors)} vectors; give one per vector"
                )
            object.__setattr__(self, "bias", bias)

    def on(self, network: Network) -> Network:
        """`network` with these directions as units; see `Network.with_directions`.

        Raises:
          ValueError: it has no such layer, one of other width, or one that is called as these.
        """
        info = find_layer(network.layers, self.layer)
        width = self.vectors.shape[1]
        if width != info.num_units:
            raise ValueError(
                f"the vectors have {width} components, but layer {self.layer!r} of "
                f"{network.name!r} has {info.num_units} channels"
            )
        params = {"vectors": jnp.asarray(self.vectors)}
        if self.bias is not None:
            params["bias"] = jnp.asarray(self.bias)
        return add_layer(
            network,
            self.layer,
            project,
            params,
            name=self.name,
            unit_names=self.names,
            about="directions",
        )


def project(params: Params, activation: Float[Array, " d"]) -> Float[Array, " n"]:
    """``vectors @ activation``, and `bias` on top where there is one."""
    inner = params["vectors"] @ activation
    return inner + params["bias"] if "bias" in params else inner


def load_directions(path: str | os.PathLike[str]) -> Directions:
    """Reads a ``.safetensors`` file of directions.

    It holds a tensor ``vectors``, ``(n, d)``, and may hold ``bias``, ``(n,)``; in its metadata
    ``layer``, and, if there are any, ``names`` (a list as JSON) and ``name``, that of the new
    layer. Nothing is unpickled.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is damaged, or holds something else; the message names the file.
    """
    file = pathlib.Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"no file of directions {file}")
    try:
        with safetensors.safe_open(file, framework="numpy") as handle:
            return _directions(handle, handle.metadata() or {})
    except (ValueError, TypeError, RecursionError, safetensors.SafetensorError) as error:
        raise ValueError(f"directions {file}: {error}") from error


def save_directions(directions: Directions, path: str | os.PathLike[str]) -> None:
    """Writes a file that `load_directions` reads; it appears whole or not at all.

    Raises:
      OSError: the file cannot be written.
    """
    about = {"layer": directions.layer, "name": directions.name}
    if directions.names is not None:
        about["names"] = json.dumps(directions.names)
    tensors = {"vectors": np.ascontiguousarray(directions.vectors)}
    if directions.bias is not None:
        tensors["bias"] = directions.bias
    file = pathlib.Path(path)
    with tempfile.TemporaryDirectory(prefix=".save-", dir=file.parent) as folder:
        written = pathlib.Path(folder) / file.name
        safetensors.numpy.save_file(tensors, written, about)
        os.replace(written, file)


def _directions(handle: Any, about: dict[str, str]) -> Directions:
    there = set(handle.keys())
    if "vectors" not in there or there - _TENSORS:
        raise ValueError(
            f"it holds the tensors {sorted(there)}; there must be 'vectors', one row per "
            "direction, and there may be 'bias'"
        )
    if not about.get("layer"):
        raise ValueError("its metadata lack 'layer', in which the vectors are directions")
    options = {"name": about["name"]} if "name" in about else {}
    return Directions(
        about["layer"],
        handle.get_tensor("vectors"),
        _names(about.get("names")),
        handle.get_tensor("bias") if "bias" in there else None,
        **options,
    )


def _names(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = json.loads(text)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("its names are not a list of texts")
    return tuple(names)


def _floats(what: str, array: np.ndarray) -> np.ndarray:
    """As float32, which all are computed in; refuses what that cannot hold."""
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"{what} must be floats, not {array.dtype}")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"{what} are not finite in float32")
    return array
