"""State dicts of PyTorch: read without running what a file may hold, and put into a module."""

from __future__ import annotations

import hashlib
import pathlib
import pickle
import re
import warnings
from collections.abc import Mapping
from typing import Any

import safetensors

_INSIDE = ("state_dict", "model_state_dict", "model", "module")
_PARALLEL = "module."
_SHOWN = 4  # keys in a message
_HASH = re.compile(r"-([0-9a-f]{8,64})\.[a-z]+$")


def read_state_dict(file: pathlib.Path) -> dict[str, Any]:
    """The tensors of a ``.safetensors`` file, or of one that ``torch.save`` wrote, by name.

    Only tensors are read of the latter (``weights_only=True``). A checkpoint that holds its
    state dict as "state_dict", "model_state_dict", "model" or "module" is taken apart, and the
    prefix "module." of ``DataParallel`` is removed.

    Args:
      file: to read.

    Raises:
      FileNotFoundError: it is not there.
      ValueError: it holds pickled code or objects (none of which is run), is damaged, or holds no
        state dict.
    """
    if not file.is_file():
        raise FileNotFoundError(f"no weights file {file}")
    try:
        held = _read(file)
    except pickle.UnpicklingError as error:
        raise ValueError(_not_only_tensors(file, str(error))) from error
    except (RuntimeError, EOFError, OSError, safetensors.SafetensorError) as error:
        first = str(error).strip().partition("\n")[0]
        raise ValueError(f"{file} is damaged, or no state dict of PyTorch: {first}") from error
    state = _state_dict_in(held)
    if state is None:
        raise ValueError(
            f"{file} holds a {type(held).__name__}, not a state dict of tensors by name: write one "
            "by torch.save(module.state_dict(), FILE)"
        )
    if all(name.startswith(_PARALLEL) for name in state):
        return {name.removeprefix(_PARALLEL): tensor for name, tensor in state.items()}
    return state


def fill(module: Any, state: Mapping[str, Any], *, source: object) -> None:
    """Puts a state dict into a module, all of it or an error.

    Args:
      module: changed.
      state: tensors by name.
      source: what the message calls the state dict.

    Raises:
      ValueError: a tensor is missing, not expected or of another shape; the message names them.
    """
    own = module.state_dict()
    wrong = [
        f"{name} {tuple(state[name].shape)} for {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    problems = {
        "missing": [name for name in own if name not in state],
        "unexpected": [name for name in state if name not in own],
        "of another shape": wrong,
    }
    told = [f"{what}: {_some(names)}" for what, names in problems.items() if names]
    if told:
        raise ValueError(f"{source} does not fit {type(module).__name__}: {'; '.join(told)}")
    module.load_state_dict(state)


def num_classes_in(state: Mapping[str, Any], module: Any, num_classes: int) -> int:
    """How many classes a state dict is for, if it differs from `module` in that alone.

    Fine-tuned networks have another number of classes than the published ones. It is told by the
    first axis of the tensors that have `num_classes` there in `module`, another number in `state`.

    Args:
      state: tensors by name.
      module: of `num_classes` classes.
      num_classes: see there; also what is returned if the state dict does not tell.
    """
    own = module.state_dict()
    differ = [n for n in own if n in state and state[n].shape != own[n].shape]
    counts = {
        int(state[name].shape[0])
        for name in differ
        if state[name].ndim == own[name].ndim and own[name].shape[0] == num_classes
    }
    return counts.pop() if len(counts) == 1 else num_classes


def check_hash(file: pathlib.Path) -> None:
    """Refuses a downloaded file whose name tells another SHA-256 (``resnet18-f37072fd.pth``).

    Raises:
      ValueError: it is damaged.
    """
    match = _HASH.search(file.name)
    if match is None:
        return
    with file.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    if not digest.startswith(match[1]):
        raise ValueError(f"{file} is damaged: its SHA-256 is {digest[:16]}; download it again")


def _read(file: pathlib.Path) -> Any:
    if file.suffix == ".safetensors":
        import safetensors.torch

        return safetensors.torch.load_file(file)
    import torch

    with warnings.catch_warnings():  # of kinds of files, which are refused or read all the same
        warnings.filterwarnings("ignore", "Detected pickle protocol|'torch.load' received a zip")
        return torch.load(file, map_location="cpu", weights_only=True)


def _not_only_tensors(file: pathlib.Path, message: str) -> str:
    found = re.search(r"GLOBAL ([\w.]+)", message)
    what = f" ({found[1]})" if found else ""
    return (
        f"{file} holds more than tensors{what}: pickled code or objects, or it is damaged. Nothing "
        "of it was run. Write the values alone, by torch.save(module.state_dict(), FILE)"
    )


def _state_dict_in(held: Any) -> dict[str, Any] | None:
    import torch

    if not isinstance(held, Mapping):
        return None
    if held and all(isinstance(value, torch.Tensor) for value in held.values()):
        return {str(name): tensor for name, tensor in held.items()}
    inside = [held[name] for name in _INSIDE if name in held]
    return _state_dict_in(inside[0]) if len(inside) == 1 else None


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"
