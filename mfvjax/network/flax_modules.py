"""What users' modules and functions of all makes share on their way to a ``Network``."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from mfvjax.network import named_outputs
from mfvjax.network.face import Network
from mfvjax.network.measured import measured_layers
from mfvjax.preprocess import Preprocessing
from mfvjax.types import Activations, Params


@dataclasses.dataclass(frozen=True, eq=False)
class NamedForward:
    """Forward function of a user's module: the chosen activations, never below float32.

    Attributes:
      run: calls the module.
      names: activations to return.
      module: the name of its class, or of a function.
    """

    run: named_outputs.Run
    names: tuple[str, ...]
    module: str

    def __call__(self, params: Params, net_input: Array) -> Activations:
        """Computes the chosen activations of a batch."""
        named = self.run(params, net_input).activations
        return {name: _at_least_float32(named[name]) for name in self.names}

    def architecture_text(
        self, params: Params, shapes: Mapping[str, tuple[int, ...]], input_shape: tuple[int, ...]
    ) -> str:
        """What tells two modules with equal parameters apart."""
        del params, input_shape  # the name of a class tells enough
        return f"{self.module} {dict(shapes)}"


def network_of(
    run: named_outputs.Run,
    params: Params,
    *,
    module: type,
    preprocessing: Preprocessing,
    name: str | None,
    layers: Sequence[str] | None,
    class_names: Sequence[str] | None,
    logits_layer: str | None,
    code_layer: str | None,
) -> Network:
    """Makes a ``Network`` of a traced user module; see `flax_nnx.from_nnx` for the options."""
    traced = named_outputs.trace(run, params, preprocessing)
    names = chosen_layers(layers, traced.shapes)
    return named_network(
        NamedForward(run, names, f"{module.__module__}.{module.__qualname__}"),
        params,
        traced,
        preprocessing=preprocessing,
        name=name or module.__name__,
        class_names=class_names,
        logits_layer=logits_layer,
        code_layer=code_layer,
    )


def named_network(
    forward: NamedForward,
    params: Params,
    traced: named_outputs.Traced,
    *,
    preprocessing: Preprocessing,
    name: str,
    class_names: Sequence[str] | None,
    logits_layer: str | None,
    code_layer: str | None,
) -> Network:
    """Makes a ``Network`` of a forward function whose activations are known."""
    shapes = {name: traced.shapes[name] for name in forward.names}
    input_shape = (*preprocessing.input_size, preprocessing.domain.channels)
    return Network(
        name=name,
        forward=forward,
        params=params,
        preprocessing=preprocessing,
        layers=measured_layers(forward, params, shapes, input_shape),
        logits_layer=_default_logits(shapes, traced.returned)
        if logits_layer is None
        else logits_layer,
        class_names=None if class_names is None else tuple(class_names),
        class_code_layer=code_layer,
        architecture=forward.architecture_text(params, shapes, input_shape),
    )


def preprocessing_of(
    preprocessing: Preprocessing | None, input_size: tuple[int, int] | None
) -> Preprocessing:
    """`preprocessing`, or plain RGB of `input_size`.

    Raises:
      ValueError: neither is given, or two sizes that differ.
    """
    if preprocessing is None:
        if input_size is None:
            raise ValueError("give preprocessing, or input_size for plain RGB in [0, 255]")
        return Preprocessing(input_size)
    if input_size is not None and tuple(input_size) != preprocessing.input_size:
        raise ValueError(
            f"input_size {tuple(input_size)} differs from that of preprocessing, "
            f"{preprocessing.input_size}; give one of them"
        )
    return preprocessing


def modules_passed(error: Exception, kind: type) -> list[Any]:
    """Objects of `kind` in whose methods `error` was raised or let through, outermost first."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    owners = (frame.f_locals.get("self") for frame in frames)
    return [owner for owner in owners if isinstance(owner, kind)]


def chosen_layers(
    layers: Sequence[str] | None, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[str, ...]:
    """The names in `layers`, all if ``None``, in the order of `shapes`.

    Raises:
      ValueError: one of them is not in `shapes`, or there are none.
    """
    if layers is None:
        return tuple(shapes)
    if not layers:
        raise ValueError(f"layers is empty; name some of: {', '.join(shapes)}")
    unknown = sorted(set(layers) - set(shapes))
    if unknown:
        raise ValueError(f"the module has no activations {unknown}; it has: {', '.join(shapes)}")
    return tuple(name for name in shapes if name in layers)


def _default_logits(shapes: dict[str, tuple[int, ...]], returned: str | None) -> str:
    if "logits" in shapes:
        return "logits"
    return returned if returned in shapes and returned is not None else list(shapes)[-1]


def _at_least_float32(activation: Array) -> Array:
    narrow = jnp.finfo(activation.dtype).bits < 32
    return activation.astype(jnp.float32) if narrow else activation
