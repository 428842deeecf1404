"""What can be wrong with a PyTorch module or its installation, said before and after the fact."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from typing import Any

import jax

INSTALL = 'pip install "mfvjax[torch]"'
_OLDEST, _TOO_NEW = (2, 9), (2, 13)  # torchax 0.0.13 was tried with these


class TorchModuleError(ValueError):
    """A module that JAX cannot run; the message says which part of it, and what would help."""


def require_torch(*also: str) -> None:
    """Refuses where PyTorch networks cannot run.

    Args:
      *also: further packages that are needed, such as "timm".

    Raises:
      ImportError: torch, torchax or a package of `also` is not installed, or torch has a version
        that torchax does not know.
    """
    for package in ("torch", "torchax", *also):
        if importlib.util.find_spec(package) is None:
            raise ImportError(f"PyTorch networks need {package}, which is missing: {INSTALL}")
    version = importlib.metadata.version("torch")
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if not _OLDEST <= numbers < _TOO_NEW:
        raise ImportError(
            f"torch {version} is installed, with which torchax does not work; it does with torch "
            f"2.9: {INSTALL}"
        )


def checked_module(module: Any) -> Any:
    """The module itself, without what compiles it or spreads it over devices.

    Raises:
      TypeError: it is no ``torch.nn.Module``.
      ValueError: it cannot be traced at all: TorchScript, quantized or without values; or an image
        would be seen differently beside other images.
    """
    import torch

    if not isinstance(module, torch.nn.Module):
        kind = module.__name__ if isinstance(module, type) else type(module).__name__
        hint = "; make one of the class first" if isinstance(module, type) else ""
        raise TypeError(f"from_torch takes a torch.nn.Module, not {kind}{hint}")
    module = getattr(module, "_orig_mod", module)  # of torch.compile
    parallel = torch.nn.DataParallel | torch.nn.parallel.DistributedDataParallel
    module = module.module if isinstance(module, parallel) else module
    for path, part in module.named_modules():
        reason = _reason_against(part)
        if reason:
            where = f"submodule {path!r}" if path else "the module"
            raise ValueError(f"{where} ({type(part).__name__}) {reason}")
    return module


def _reason_against(part: Any) -> str:
    import torch

    if isinstance(part, torch.jit.ScriptModule):
        return "is TorchScript, which cannot be traced: give the nn.Module that it was made of"
    own = [*part.parameters(recurse=False), *part.buffers(recurse=False)]
    if any(tensor.is_meta or torch.nn.parameter.is_lazy(tensor) for tensor in own):
        return "has parameters without values; load its weights, or call it once if it is lazy"
    if any(tensor.is_quantized or tensor.layout != torch.strided for tensor in own):
        return "has quantized or sparse parameters; give the module in float32"
    is_norm = isinstance(part, torch.nn.modules.batchnorm._BatchNorm)
    if is_norm and part.running_mean is None:
        return (
            "normalizes by the statistics of the batch (track_running_stats=False), so that an "
            "image would be seen differently beside others; give it running statistics"
        )
    return ""


def explained(error: Exception, where: str, shape: tuple[int, ...]) -> TorchModuleError:
    """What a user can do about an exception that a module raised while it was traced.

    Args:
      error: as raised.
      where: the submodule, in words.
      shape: of the input of the whole module.
    """
    first = str(error).strip().partition("\n")[0] or type(error).__name__
    if isinstance(error, jax.errors.JAXTypeError | jax.errors.JAXIndexError):
        return TorchModuleError(
            f"{where} cannot be traced: what it does depends on the values of activations (an "
            "`if`, a loop, .item(), .numpy() or indexing by a mask), but one compiled program "
            "serves all images; use torch.where or a product with the mask, or give a submodule "
            f"without it ({first})"
        )
    if type(error).__name__ == "OperatorNotFound":
        return TorchModuleError(
            f"{where} cannot be traced: torchax lacks an operator ({first}); write it with others, "
            "or give a submodule without it"
        )
    if isinstance(error, AssertionError) and "mixed math" in first:
        return TorchModuleError(
            f"{where} cannot be traced: it uses a tensor that is neither a parameter nor a buffer; "
            "keep it by register_buffer"
        )
    return TorchModuleError(
        f"{where} fails for an input of shape {tuple(shape)} (batch, channels, height, width): "
        f"{type(error).__name__}: {first}"
    )
