"""Networks of torchvision and timm by name: ``torchvision:resnet50``, ``timm:NAME@FILE``."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import pathlib
import re
import weakref
from collections.abc import Callable
from typing import Any

from mfvjax.network.face import Network
from mfvjax.network.torch_errors import require_torch
from mfvjax.network.torch_weights import fill, num_classes_in, read_state_dict
from mfvjax.preprocess import Preprocessing

ZOOS = ("torchvision", "timm")
RANDOM = "random"
_OPENED: weakref.WeakValueDictionary[Any, Network] = weakref.WeakValueDictionary()
_ADDRESS = re.compile(rf"(?P<zoo>{'|'.join(ZOOS)}):(?P<name>[^@]*)(?:@(?P<weights>.*))?")


@dataclasses.dataclass(frozen=True)
class Published:
    """What torchvision or timm knows of a network.

    Attributes:
      build: makes the module with random weights, for a number of classes.
      num_classes: of the published weights; 0 if they end before the classes.
      preprocessing: that they were trained with.
      class_names: of the classes.
      weights: what the published weights are called.
      load: makes the module with them, from where torchvision and timm keep what they download.
    """

    build: Callable[[int], Any]
    num_classes: int
    preprocessing: Preprocessing
    class_names: tuple[str, ...] | None
    weights: str
    load: Callable[[], Any]


def is_address(text: str) -> bool:
    """Whether a text names a network of torchvision or timm."""
    return text.startswith(tuple(f"{zoo}:" for zoo in ZOOS))


def with_weights(address: str, weights: str) -> str:
    """The address with weights in it: ``"torchvision:resnet50@resnet50.pth"``.

    Raises:
      ValueError: `address` is none of torchvision or timm, or has weights already.
    """
    if not is_address(address):
        raise ValueError(
            f"weights are for torchvision:NAME and timm:NAME; {address!r} brings its own"
        )
    if "@" in address:
        raise ValueError(f"{address!r} names its weights; leave out the other ones, {weights!r}")
    return f"{address}@{weights}"


def open_address(address: str) -> Network:
    """Opens ``torchvision:NAME``, ``timm:NAME``, or one of these with ``@WEIGHTS`` behind it.

    WEIGHTS is one of

    * nothing: the published weights (torchvision's default ones, timm's by the tag in the name),
      if torchvision or timm has downloaded them before; nothing is downloaded here;
    * a name of torchvision's, such as ``IMAGENET1K_V1``: those, likewise;
    * ``random``: random weights, the same each time, to try things out;
    * a file: a state dict written by ``torch.save``, or ``.safetensors``, of that architecture; it
      may have another number of classes. A file called as the above: ``./random``.

    While a network is in use, the same address and file give it again.

    Preprocessing and class names are those of the published weights; for a file those whose
    download has the same name, otherwise the default ones. A file for another number of classes
    has no class names, as have random weights.

    Args:
      address: as above.

    Raises:
      ImportError: as `from_torch`; or torchvision or timm is missing.
      ValueError: there is no such network, or the file is no state dict or does not fit it.
      FileNotFoundError: there is no such file, or the published weights are not on this machine;
        the message says how to get them.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or not match["name"] or match["weights"] == "":
        raise ValueError(
            f"{address!r} is not of the form torchvision:NAME or timm:NAME, or one of these with "
            "@FILE, as torchvision:resnet50@resnet50.pth"
        )
    require_torch(match["zoo"])
    key = (address, _version(match["weights"]))
    network = _OPENED.get(key)
    if network is None:
        network = _OPENED[key] = _open(match["zoo"], match["name"], match["weights"])
    return network


def no_such_network(zoo: str, name: str, names: list[str]) -> ValueError:
    """The error for an unknown name, with those that are like it."""
    near = difflib.get_close_matches(name, names, n=4)
    hint = f"; there is {', '.join(near)}" if near else ""
    return ValueError(f"{zoo} has no network {name!r} that tells classes{hint}")


def not_downloaded(address: str, weights: str, download: str) -> FileNotFoundError:
    """The error for published weights that are not on this machine; `download` gets them."""
    return FileNotFoundError(
        f"the weights {weights} of {address} are not on this machine. Download them once, in "
        f"Python: {download}; or give a file, as {address}@FILE or by --weights FILE; "
        f"{address}@{RANDOM} has random ones, to try things out"
    )


def _version(weights: str | None) -> tuple[int, int] | None:
    """What tells whether a file has been replaced; ``None`` if it is no file."""
    file = pathlib.Path(weights or RANDOM)
    return (file.stat().st_mtime_ns, file.stat().st_size) if file.is_file() else None


def _open(zoo: str, name: str, weights: str | None) -> Network:
    published = importlib.import_module(f"mfvjax.network.torch_{zoo}").find(name, weights)
    if weights == RANDOM:
        module, label = _random(published), "random weights"
    elif weights is None or weights == published.weights:
        module, label = published.load(), published.weights
    else:
        module, label = _from_file(published, pathlib.Path(weights)), pathlib.Path(weights).name
    return _network(zoo, name, label, module, published)


def _random(published: Published) -> Any:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return published.build(published.num_classes)


def _from_file(published: Published, file: pathlib.Path) -> Any:
    state = read_state_dict(file)
    module = published.build(published.num_classes)
    num_classes = num_classes_in(state, module, published.num_classes)
    if num_classes != published.num_classes:
        module = published.build(num_classes)
    fill(module, state, source=file)
    return module


def _network(zoo: str, name: str, label: str, module: Any, published: Published) -> Network:
    has_classes = published.num_classes > 0
    network = Network.from_torch(
        module.eval(),
        preprocessing=published.preprocessing,
        name=f"{name} ({label})",
        logits_layer=None if has_classes else "",
        architecture=f"{zoo}:{name}",
    )
    names = published.class_names
    if label != "random weights" and names is not None and len(names) == network.num_classes:
        return dataclasses.replace(network, class_names=names)
    return network
