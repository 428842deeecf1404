"""Networks from a user's NNX module."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from flax import nnx
from jaxtyping import Array

from mfvjax.network import named_outputs
from mfvjax.network.face import Network
from mfvjax.network.flax_modules import modules_passed, network_of, preprocessing_of
from mfvjax.preprocess import Preprocessing
from mfvjax.types import Params


@dataclasses.dataclass(frozen=True, eq=False)
class NnxRun:
    """Runs an NNX module as a pure function of its parameters.

    Attributes:
      graphdef: structure of the module.
      random_state: its random streams, unused in evaluation mode.
      arguments: keyword arguments of the call.
      capture_all: whether outputs of submodules are named too.
    """

    graphdef: Any
    random_state: Any
    arguments: dict[str, Any]
    capture_all: bool

    def __call__(self, params: Params, net_input: Array) -> named_outputs.Result:
        """Calls the module once."""
        module = nnx.merge(self.graphdef, self.random_state, params)
        run = nnx.capture(
            lambda module, net_input: module(net_input, **self.arguments),
            nnx.Intermediate,
            method_outputs=nnx.Intermediate if self.capture_all else None,
        )
        result, captured = run(module, net_input)
        return named_outputs.Result.of(result, nnx.to_pure_dict(captured))

    def layer_at(self, error: Exception) -> str:
        """Path of the submodule that raised `error`; empty if it was none."""
        modules = modules_passed(error, nnx.Module)
        known = nnx.iter_graph(modules[0]) if modules else ()
        paths = [path for path, node in known if node is modules[-1]]
        return "/".join(map(str, paths[0])) if paths else ""


def from_nnx(
    module: nnx.Module,
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
    """Wraps a user's NNX module; the module itself is neither changed nor kept.

    The module takes net inputs ``(batch, height, width, channels)``. What it names is found in this
    order: it returns a dictionary of activations, or ``(logits, dictionary)``; otherwise every
    submodule's output is listed under the submodule's path (``"blocks/0/conv"``). Values that the
    module has sown as ``nnx.Intermediate`` are listed in either case. An array returned without a
    name is listed as ``"output"``, unless a submodule has made it.

    It runs in evaluation mode: dropout off, running averages in batch normalization, and False or
    True for arguments named train, training, is_training, deterministic or use_running_average.

    Args:
      module: not modified.
      preprocessing: from images to what the module takes; its domain says what images are.
      input_size: ``(height, width)``; instead of `preprocessing`, for plain RGB in [0, 255].
      name: for people; the class's name if ``None``.
      layers: activations to keep; all if ``None``.
      class_names: one per unit of the logits layer.
      logits_layer: the classes; if ``None`` the layer ``"logits"``, or what the module returns, or
        the last layer.
      code_layer: describes images of a class; if ``None`` the last layer before the classes.
      call_arguments: further keyword arguments of the module's call.

    Raises:
      ImportError: Flax is older than 0.12.6.
      ValueError: no size is given or two that differ, the module returns something else or names no
        activation, a name in `layers`, `logits_layer` or `code_layer` does not exist, or
        `class_names` has the wrong length.
    """
    if not hasattr(nnx, "capture"):
        raise ImportError("Network.from_nnx needs flax >= 0.12.6, which can capture activations")
    graphdef, state = nnx.split(module)
    copy = nnx.merge(graphdef, state)
    copy.eval()
    graphdef, random_state, params = nnx.split(copy, nnx.RngState, ...)  # type: ignore[misc]
    arguments = named_outputs.evaluation_arguments(type(module).__call__) | (call_arguments or {})
    preprocessing = preprocessing_of(preprocessing, input_size)
    run = NnxRun(graphdef, random_state, arguments, capture_all=False)
    if not named_outputs.returns_names(run, params, preprocessing):
        run = dataclasses.replace(run, capture_all=True)
    return network_of(
        run,
        params,
        module=type(module),
        preprocessing=preprocessing,
        name=name,
        layers=layers,
        class_names=class_names,
        logits_layer=logits_layer,
        code_layer=code_layer,
    )
