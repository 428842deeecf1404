"""Runs a PyTorch module as a pure JAX function, by torchax, and names what its submodules make."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import itertools
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mfvjax.network.torch_errors import TorchModuleError, explained
from mfvjax.network.torch_record import Record, arrays_in
from mfvjax.types import Activations, Params

_LOCK = threading.RLock()  # a call borrows the module and torchax's modes, which are the process's


@dataclasses.dataclass(frozen=True, eq=False)
class TorchRun:
    """A module in inference mode as a function of its parameters and buffers.

    Attributes:
      skeleton: the module without values: its tensors are on torch's device "meta".
      needs_classes: whether one of several arrays returned must be called logits.
    """

    skeleton: Any
    needs_classes: bool = True

    def __call__(
        self, params: Params, net_input: Float[Array, "batch channels height width"]
    ) -> Activations | tuple[Array, Activations]:
        """What the module returned, if it is one array or called logits, and all named arrays.

        Raises:
          TorchModuleError: the module cannot be traced, draws random numbers, or returns no array;
            the message names the submodule.
        """
        logits, named = self._record(params, net_input).outcome(self.needs_classes)
        return named if logits is None else (logits, named)

    def layouts(self, params: Params, shape: tuple[int, int, int, int]) -> dict[str, str]:
        """Layouts of the arrays of which a layer tells it, by name; computes nothing.

        Args:
          params: as the function takes them.
          shape: of its input, ``(batch, channels, height, width)``.

        Raises:
          TorchModuleError: as for a call.
        """
        found: list[dict[str, str]] = []

        def note(params: Params, net_input: Array) -> None:
            record = self._record(params, net_input)
            record.outcome(self.needs_classes)
            found.append(record.layouts())

        jax.eval_shape(note, params, jax.ShapeDtypeStruct(shape, jnp.float32))
        return found[-1]

    def _record(self, params: Params, net_input: Array) -> Record:
        record = Record(self.skeleton, len(net_input))
        with _LOCK, _torch_on_jax() as env, record.listening():
            tensors, argument = env.j2t_iso((dict(params), net_input))
            key = env.prng_key
            try:
                result = _call(self.skeleton, tensors, argument)
            except Exception as error:  # whatever the module raises
                raise explained(error, record.where, net_input.shape) from error
            if env.prng_key is not key:
                raise TorchModuleError(
                    f"{record.describe('')} draws random numbers in inference mode, so that its "
                    "activations are no function of the image; turn that off (dropout that is "
                    "always on, random masking) or give the submodule that is deterministic"
                )
            record.returned = arrays_in(result)
        return record


def skeleton_and_params(module: Any) -> tuple[Any, dict[str, Array]]:
    """A copy of a module without its values, in inference mode, and the values: copies, too.

    Tied tensors are one value. Numbers of less or more than 32 bits become float32 and int32.
    """
    named = dict(_tensors(module))
    params = {name: _array(tensor) for name, tensor in named.items()}
    memo = {id(tensor): _meta(tensor) for tensor in named.values()}
    return copy.deepcopy(module, memo).eval(), params


def _call(module: Any, tensors: dict[str, Any], argument: Any) -> Any:
    import torch

    return torch.func.functional_call(module, tensors, (argument,), tie_weights=True)


@contextlib.contextmanager
def _torch_on_jax() -> Iterator[Any]:
    """PyTorch inside computes with JAX: new tensors, too, and by PyTorch's rules of types."""
    import torch
    import torchax

    env = torchax.default_env()
    with (
        warnings.catch_warnings(),
        torch.no_grad(),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        env,
        env.override_property(prng=jax.random.key(0)),  # none of a trace's keys stays behind
        torch.device("jax"),
    ):
        # PyTorch counts in 64 bits; JAX says at each constant that it has 32.
        warnings.filterwarnings("ignore", "Explicitly requested dtype (float|int)64")
        yield env


def _tensors(module: Any) -> Iterator[tuple[str, Any]]:
    """Parameters, buffers, and tensors that are plain attributes; each tied one once."""
    import torch

    seen = set()
    registered = itertools.chain(module.named_parameters(), module.named_buffers())
    plain = (
        (f"{path}.{name}" if path else name, value)
        for path, part in module.named_modules()
        for name, value in vars(part).items()
        if isinstance(value, torch.Tensor)
    )
    for name, tensor in itertools.chain(registered, plain):
        if id(tensor) not in seen:
            seen.add(id(tensor))
            yield name, tensor


def _array(tensor: Any) -> Array:
    values = tensor.detach().cpu()
    if values.is_floating_point():
        values = values.float()
    values = np.array(values.numpy())  # a copy: the module may be trained further
    return jnp.asarray(values.astype(np.int32) if values.dtype == np.int64 else values)


def _meta(tensor: Any) -> Any:
    import torch

    empty = tensor.detach().to("meta")
    is_parameter = isinstance(tensor, torch.nn.Parameter)
    return torch.nn.Parameter(empty, requires_grad=False) if is_parameter else empty
