"""Layers added to a network: whatever a function reads out of one of its own, position by position.

Directions, a sparse autoencoder's latents, a probe: as units of a layer they can be asked for like
any others, and none of what asks needs to know of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mfvjax.network import precision
from mfvjax.network.face import Network
from mfvjax.network.units import find_layer
from mfvjax.types import Activations, ForwardFn, LayerInfo, Params, ReceptiveField
from mfvjax.unit_names import checked_names

EncodeFn: TypeAlias = Callable[[Params, Array], Array]
"""``(params, activation (d,)) -> (n,)``, pure."""

_NETWORK, _ADDED = "network", "added"


@dataclasses.dataclass(frozen=True)
class Readout:
    """Applies a function to every position of an activation; no position knows of another.

    Attributes:
      name: of the layer that this makes.
      encode: the function, of one vector.
    """

    name: str
    encode: EncodeFn

    def __call__(
        self, params: Params, activation: Float[Array, "batch *places channels"]
    ) -> Activations:
        """The layer, by its name."""
        vectors = activation.reshape(-1, activation.shape[-1])
        encoded = jax.vmap(self.encode, in_axes=(None, 0))(params, vectors)
        return {self.name: encoded.reshape(*activation.shape[:-1], encoded.shape[-1])}


@dataclasses.dataclass(frozen=True)
class DerivedForward:
    """Forward function of a network with one more layer.

    A value: networks that differ only in parameters share it, and with it their compiled programs.

    Attributes:
      forward: of the network without the layer.
      base: the layer that is read.
      name: of the layer that is added.
      encode: what is read out of a vector.
      architecture: of the network without the layer.
      compute_dtype: that `encode` computes in.
    """

    forward: ForwardFn
    base: str
    name: str
    encode: EncodeFn
    architecture: str
    compute_dtype: str = "float32"

    def __call__(self, params: Params, net_input: Array) -> Activations:
        """All activations."""
        activations = dict(self.forward(params[_NETWORK], net_input))
        readout = precision.PreciseForward(Readout(self.name, self.encode), self.compute_dtype)
        return activations | dict(readout(params[_ADDED], activations[self.base]))

    def in_precision(self, compute_dtype: str) -> DerivedForward:
        """The same, computed in another precision."""
        forward = precision.forward_in(compute_dtype, self.forward)
        return dataclasses.replace(self, forward=forward, compute_dtype=compute_dtype)


class DerivedLayer(LayerInfo):
    """Facts of an added layer; its receptive field is asked of the layer that it reads."""

    def __init__(
        self, name: str, read: LayerInfo, num_units: int, unit_names: tuple[str, ...] | None
    ) -> None:
        shape = (*read.shape[:-1], num_units)
        fields = {"name": name, "shape": shape, "unit_names": unit_names, "base": read.origin}
        for field, value in {**fields, "_read": read}.items():
            object.__setattr__(self, field, value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, shape={self.shape}, base={self.base!r})"

    @property
    def receptive_field(self) -> ReceptiveField | None:  # type: ignore[override]
        """As that of the layer that is read, which may be measured when first asked for."""
        read: LayerInfo = self.__dict__["_read"]
        return read.receptive_field


def add_layer(
    network: Network,
    layer: str,
    encode: EncodeFn,
    params: Params,
    *,
    name: str,
    unit_names: Sequence[str] | None = None,
    about: str | None = None,
) -> Network:
    """`network` with one more layer; see `Network.with_encoder`.

    Args:
      network: may have added layers already.
      layer: that is read.
      encode: of one vector of the layer's channels.
      params: of `encode`; they become part of the network's parameters.
      name: of the new layer.
      unit_names: of its units.
      about: what tells two functions with equal parameters apart; by default a hash of the program
        that JAX traces the function to.
    """
    info = find_layer(network.layers, layer)
    if not name or name.strip() != name or ":" in name:
        raise ValueError(f"{name!r} cannot be the name of a layer: units are written LAYER:INDEX")
    if name in network.layers:
        raise ValueError(
            f"network {network.name!r} has a layer {name!r} already; give another name"
        )
    num_units = _num_units(encode, params, info, name)
    if unit_names is not None:
        unit_names = checked_names(unit_names, num_units)
    about = about or _program_text(encode, params, info)
    forward = DerivedForward(network.forward, layer, name, encode, network.architecture)
    return dataclasses.replace(
        network,
        forward=forward,
        params={_NETWORK: network.params, _ADDED: params},
        layers=_with(network.layers, DerivedLayer(name, info, num_units, unit_names), layer),
        architecture=f"{network.architecture} + {name} of {layer}: {about}",
    )


def without_added(network: Network) -> Network:
    """The network as it was before any layer was added; itself, if none was."""
    while isinstance(network.forward, DerivedForward):
        network = _without_last(network, network.forward)
    return network


def added_again(network: Network, change: Callable[[Network], Network]) -> Network:
    """The same layers on a network that came of `change`; those whose layer is gone are left out.

    Args:
      network: with added layers.
      change: of the network without them.
    """
    forward = network.forward
    if not isinstance(forward, DerivedForward):
        return change(network)
    changed = added_again(_without_last(network, forward), change)
    if forward.base not in changed.layers:
        return changed
    about = network.architecture.removeprefix(
        f"{forward.architecture} + {forward.name} of {forward.base}: "
    )
    return add_layer(
        changed,
        forward.base,
        forward.encode,
        network.params[_ADDED],
        name=forward.name,
        unit_names=network.layers[forward.name].unit_names,
        about=about,
    )


def _without_last(network: Network, forward: DerivedForward) -> Network:
    layers = {name: info for name, info in network.layers.items() if name != forward.name}
    return dataclasses.replace(
        network,
        forward=forward.forward,
        params=network.params[_NETWORK],
        layers=layers,
        architecture=forward.architecture,
    )


def _with(layers: Any, info: LayerInfo, after: str) -> dict[str, LayerInfo]:
    """Layers in the order of execution: the new one comes right after the one that it reads."""
    names = list(layers)
    place = names.index(after) + 1
    order = [*names[:place], info.name, *names[place:]]
    return {name: info if name == info.name else layers[name] for name in order}


def _program_text(encode: EncodeFn, params: Params, info: LayerInfo) -> str:
    from mfvjax.network.function import program_sha256

    return program_sha256(encode, params, _vector_of(info))


def _vector_of(info: LayerInfo) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((info.num_units,), jnp.float32)


def _num_units(encode: EncodeFn, params: Params, info: LayerInfo, name: str) -> int:
    try:
        encoded = jax.eval_shape(encode, params, _vector_of(info))
    except Exception as error:  # whatever the user's function raises
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"the function of layer {name!r} cannot take a vector of the {info.num_units} channels "
            f"of layer {info.name!r}: {reason}"
        ) from error
    shape = getattr(encoded, "shape", None)
    if shape is None or len(shape) != 1 or not jnp.issubdtype(encoded.dtype, jnp.floating):
        got = f"{encoded.dtype} of shape {shape}" if shape is not None else type(encoded).__name__
        raise ValueError(
            f"the function of layer {name!r} must make one vector of floats of each vector, as of "
            f"({info.num_units},) it makes (n,); it made {got}"
        )
    return int(shape[0])
