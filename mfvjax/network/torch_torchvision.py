"""What torchvision knows of its networks."""

from __future__ import annotations

import functools
import pathlib
from typing import Any

from mfvjax.network.torch_weights import check_hash, fill, read_state_dict
from mfvjax.network.torch_zoo import Published, no_such_network, not_downloaded
from mfvjax.preprocess import Preprocessing

# These normalize once more by themselves, as their published weights need it.
_OPTIONS = {
    name: {"transform_input": True, "init_weights": False} for name in ("inception_v3", "googlenet")
}


def find(name: str, weights: str | None) -> Published:
    """What is known of the network `name`, by the weights that `weights` asks for.

    Args:
      name: one of torchvision's classification networks.
      weights: as in `mfvjax.network.torch_zoo.open_address`.

    Raises:
      ValueError: there is no such network.
    """
    from torchvision import models

    names = models.list_models(module=models)
    if name not in names:
        raise no_such_network("torchvision", name, names)
    chosen = _chosen(models.get_model_weights(name), weights)
    preset = chosen.transforms()
    categories = chosen.meta.get("categories")
    return Published(
        build=functools.partial(_build, name),
        num_classes=len(categories),
        preprocessing=preprocessing_of(preset.crop_size[0], preset.mean, preset.std),
        class_names=tuple(categories),
        weights=chosen.name,
        load=functools.partial(_load, name, chosen),
    )


def preprocessing_of(size: int | tuple[int, int], mean: Any, std: Any) -> Preprocessing:
    """Of ``(image / 255 - mean) / std``, as these libraries state it, for images in [0, 255]."""
    return Preprocessing(
        (size, size) if isinstance(size, int) else size,
        mean=tuple(255 * value for value in mean),
        scale=tuple(1 / (255 * value) for value in std),
    )


def _chosen(known: Any, weights: str | None) -> Any:
    """The published weights of a name, or those whose download is called as a file."""
    if weights in known.__members__:
        return known[weights]
    file = pathlib.Path(weights or "").name
    same = [member for member in known if pathlib.PurePosixPath(member.url).name == file]
    return same[0] if same else known.DEFAULT


def _build(name: str, num_classes: int) -> Any:
    from torchvision import models

    options = _OPTIONS.get(name, {})
    return models.get_model(name, weights=None, num_classes=num_classes, **options)


def _load(name: str, weights: Any) -> Any:
    import torch

    file = pathlib.Path(torch.hub.get_dir(), "checkpoints", pathlib.PurePosixPath(weights.url).name)
    if not file.is_file():
        download = (
            "from torchvision.models import get_model; "
            f"get_model({name!r}, weights={weights.name!r})"
        )
        raise not_downloaded(f"torchvision:{name}", weights.name, download)
    check_hash(file)
    module = _build(name, len(weights.meta["categories"]))
    fill(module, read_state_dict(file), source=file)
    return module
