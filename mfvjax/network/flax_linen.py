"""Networks from a user's Linen module."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
from jaxtyping import Array

from mfvjax.network import named_outputs
from mfvjax.network.face import Network
from mfvjax.network.flax_modules import modules_passed, network_of, preprocessing_of
from mfvjax.preprocess import Preprocessing
from mfvjax.types import Params

_INTERMEDIATES = "intermediates"


@dataclasses.dataclass(frozen=True, eq=False)
class LinenRun:
    """Runs a Linen module as a pure function of its variables.

    Attributes:
      module: the module.
      arguments: keyword arguments of the call.
      capture_all: whether outputs of submodules are named too.
    """

    module: nn.Module
    arguments: dict[str, Any]
    capture_all: bool

    def __call__(self, params: Params, net_input: Array) -> named_outputs.Result:
        """Calls the module once."""
        result, state = self.module.apply(
            params,
            net_input,
            capture_intermediates=self.capture_all,
            mutable=[_INTERMEDIATES],
            **self.arguments,
        )
        return named_outputs.Result.of(result, state.get(_INTERMEDIATES, {}))

    def layer_at(self, error: Exception) -> str:
        """Path of the submodule that raised `error`; empty if it was none."""
        bound = [one for one in modules_passed(error, nn.Module) if one.scope is not None]
        return "/".join(bound[-1].path) if bound else ""


def from_linen(
    module: nn.Module,
    variables: Mapping[str, Any],
    *,
    preprocessing: Preprocessing | None = None,
    input_size: tuple[int, int] | None = None,
    name: str | None = None,
    layers: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    logits_layer: str | None = None,
    code_layer: str | None = None,
    call_arguments: dict[str, Any] | None = None,
) -> Network:
    """Wraps a user's Linen module and its variables.

    Names, evaluation mode and options are those of `flax_nnx.from_nnx`; values sown into the
    collection ``"intermediates"`` are listed. A module without one of the known arguments for
    evaluation mode must be built for it (``BatchNorm(use_running_average=True)``).

    Args:
      module: takes net inputs ``(batch, height, width, channels)``.
      variables: all collections: ``{"params": ..., "batch_stats": ...}``.
      preprocessing: see `from_nnx`, as the other options.
      input_size: ``(height, width)``; instead of `preprocessing`.
      name: for people.
      layers: activations to keep.
      class_names: one per unit of the logits layer.
      logits_layer: the classes.
      code_layer: describes images of a class.
      call_arguments: further keyword arguments of the module's call.

    Raises:
      ValueError: as `from_nnx`.
    """
    preprocessing = preprocessing_of(preprocessing, input_size)
    variables = {key: value for key, value in variables.items() if key != _INTERMEDIATES}
    arguments = named_outputs.evaluation_arguments(type(module).__call__) | (call_arguments or {})
    run = LinenRun(module, arguments, capture_all=False)
    if not named_outputs.returns_names(run, variables, preprocessing):
        run = dataclasses.replace(run, capture_all=True)
    return network_of(
        run,
        variables,
        module=type(module),
        preprocessing=preprocessing,
        name=name,
        layers=layers,
        class_names=class_names,
        logits_layer=logits_layer,
        code_layer=code_layer,
    )
