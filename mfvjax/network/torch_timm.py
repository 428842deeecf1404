"""What timm knows of its networks."""

from __future__ import annotations

import functools
import pathlib
from typing import Any

from mfvjax.network.torch_torchvision import preprocessing_of
from mfvjax.network.torch_zoo import Published, no_such_network, not_downloaded

_HUB_FILES = ("model.safetensors", "pytorch_model.bin")


def find(name: str, weights: str | None) -> Published:
    """What is known of the network `name`; `weights` makes no difference to timm.

    Args:
      name: of an architecture, or with the tag of its weights behind a dot.
      weights: as in `mfvjax.network.torch_zoo.open_address`.

    Raises:
      ValueError: there is no such network, or no such tag.
    """
    import timm
    import timm.data

    names = timm.list_models() + timm.list_pretrained()
    known = timm.get_pretrained_cfg(name, allow_unregistered=True) if name in names else None
    if known is None:
        raise no_such_network("timm", name, names)
    data = timm.data.resolve_data_config(pretrained_cfg=known.to_dict())
    return Published(
        build=functools.partial(_build, name),
        num_classes=known.num_classes,
        preprocessing=preprocessing_of(data["input_size"][1:], data["mean"], data["std"]),
        class_names=_class_names(known),
        weights=known.tag or "published",
        load=functools.partial(_load, name, known),
    )


def _build(name: str, num_classes: int) -> Any:
    import timm

    return timm.create_model(name, pretrained=False, num_classes=num_classes)


def _class_names(known: Any) -> tuple[str, ...] | None:
    """WordNet identifiers and names, if the classes are a set of ImageNet's that timm knows."""
    import timm.data

    subset = timm.data.infer_imagenet_subset(known.to_dict())
    if subset is None:
        return None
    info = timm.data.ImageNetInfo(subset)
    return tuple(
        f"{info.index_to_label_name(index)} {info.index_to_description(index)}"
        for index in range(info.num_classes())
    )


def _load(name: str, known: Any) -> Any:
    """Read by timm itself, which knows how its own files are to be turned."""
    import timm

    file = _downloaded(known)
    if file is None:
        download = f"import timm; timm.create_model({name!r}, pretrained=True)"
        raise not_downloaded(f"timm:{name}", known.tag or "", download)
    overlay = {"file": str(file), "custom_load": False}
    return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)


def _downloaded(known: Any) -> pathlib.Path | None:
    """Where the published weights were put when they were downloaded, if they were."""
    import huggingface_hub

    if known.hf_hub_id is None:
        return None
    for name in (known.hf_hub_filename, *_HUB_FILES):
        found = name and huggingface_hub.try_to_load_from_cache(known.hf_hub_id, name)
        if isinstance(found, str):
            return pathlib.Path(found)
    return None
