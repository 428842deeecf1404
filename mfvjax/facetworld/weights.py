"""Weights files of the bundled networks: written by training, checked when read."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from mfvjax.facetworld.designs import Design, Net
from mfvjax.preprocess import Preprocessing


def save_weights(
    path: str | os.PathLike[str],
    params: Mapping[str, Mapping[str, Any]],
    *,
    design: Design,
    class_names: Sequence[str],
    preprocessing: Preprocessing,
) -> None:
    """Writes weights in half precision; `path` appears whole or not at all.

    Args:
      path: of the ``.safetensors`` file; an existing one is replaced.
      params: ``{layer: {"kernel": ..., "bias": ...}}`` of a network of that many classes.
      design: of the network.
      class_names: one per class.
      preprocessing: what the network eats.

    Raises:
      ValueError: a parameter is missing, unknown or of another shape, or too large for float16.
    """
    import safetensors.numpy

    shapes = _shapes(design, len(class_names))
    with np.errstate(over="ignore"):  # becomes infinite, which is checked below
        tensors = {
            f"{layer}/{name}": np.asarray(array, np.float16)
            for layer, leaves in params.items()
            for name, array in leaves.items()
        }
    _check(shapes, tensors)
    metadata = {
        "format": "mfvjax-network",
        "version": "1",
        "architecture": design.architecture,
        "name": design.name,
        "graph": design.graph(len(class_names)).to_json(),
        "preprocessing": preprocessing.to_json(),
        "class_names": json.dumps(list(class_names)),
        "sources": "{}",
        "logits_layer": design.logits_layer,
    }
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(safetensors.numpy.save(tensors, metadata))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load_weights(
    design: Design, path: str | os.PathLike[str] | None = None
) -> tuple[Net, Preprocessing, tuple[str, ...]]:
    """Reads a network of `design`: its module, what it eats, and its classes.

    Args:
      design: of the network.
      path: of a file that `save_weights` wrote; ``None`` for the bundled weights.

    Raises:
      ValueError: the file holds another network, or a parameter is missing, unknown, of another
        shape or not finite.
      FileNotFoundError: there is no such file.
    """
    import safetensors

    path = design.weights if path is None else path
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"no weights file {os.fspath(path)}")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return _module(design, about, tensors)
    except (ValueError, KeyError, safetensors.SafetensorError) as error:
        raise ValueError(f"{os.fspath(path)} is no network {design.name}: {error}") from error


def _module(
    design: Design, about: Mapping[str, str], tensors: Mapping[str, np.ndarray]
) -> tuple[Net, Preprocessing, tuple[str, ...]]:
    if about.get("name") != design.name:
        raise ValueError(f"it holds the network {about.get('name')!r}")
    class_names = tuple(json.loads(about["class_names"]))
    _check(_shapes(design, len(class_names)), tensors)
    module = design.module(len(class_names), nnx.Rngs(0))
    for key, array in tensors.items():
        layer, name = key.split("/")
        getattr(getattr(module, layer), name)[...] = jnp.asarray(array, jnp.float32)
    return module, Preprocessing.from_json(about["preprocessing"]), class_names


def _shapes(design: Design, num_classes: int) -> dict[str, tuple[int, ...]]:
    module = nnx.eval_shape(lambda: design.module(num_classes, nnx.Rngs(0)))
    params = nnx.to_pure_dict(nnx.split(module)[1])
    return {
        f"{a}/{b}": tuple(leaf.shape) for a, leaves in params.items() for b, leaf in leaves.items()
    }


def _check(shapes: Mapping[str, tuple[int, ...]], tensors: Mapping[str, np.ndarray]) -> None:
    for name in sorted(shapes.keys() | tensors.keys()):
        if name not in tensors or name not in shapes:
            raise ValueError(f"parameter {name!r} is {'missing' if name in shapes else 'unknown'}")
        if tensors[name].shape != shapes[name]:
            found = tensors[name].shape
            raise ValueError(f"parameter {name!r} has shape {found}, must have {shapes[name]}")
        if not np.isfinite(tensors[name]).all():
            raise ValueError(f"parameter {name!r} has values that are not finite in float16")
