"""Networks from any pure JAX function: Equinox, Keras on JAX, or one's own."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from jaxtyping import Array

from mfvjax.network import axes, function_trial, named_outputs, precision
from mfvjax.network.face import Network
from mfvjax.network.flax_modules import (
    NamedForward,
    chosen_layers,
    named_network,
    preprocessing_of,
)
from mfvjax.preprocess import Preprocessing
from mfvjax.types import Params

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # of functions, as versions of JAX below 0.10 print it


@dataclasses.dataclass(frozen=True, eq=False)
class FunctionRun:
    """Runs a user's function on images that are channels last, and turns its activations so.

    Attributes:
      fn: ``(params, images) -> {name: activation}``, or what else `from_function` takes.
      input_format: "NHWC" or "NCHW": of the images that `fn` takes.
      orders: by name, the transposition of an activation to channels last; others stay.
    """

    fn: Callable[[Params, Array], Any]
    input_format: str
    orders: Mapping[str, axes.Order]

    def __call__(self, params: Params, net_input: Array) -> named_outputs.Result:
        """Calls the function once."""
        images = net_input
        if self.input_format == "NCHW":
            images = jnp.transpose(net_input, (0, 3, 1, 2))
        result = named_outputs.Result.of(self.fn(params, images), {})
        found = result.activations
        named = {name: self._turned(name, array) for name, array in found.items()}
        first = [name for name, array in found.items() if array is result.returned]
        return named_outputs.Result(named[first[0]] if first else None, named, {})

    def _turned(self, name: str, array: Array) -> Array:
        order = self.orders.get(name, ())
        return array if order == tuple(range(len(order))) else jnp.transpose(array, order)

    def layer_at(self, error: Exception) -> str:
        """Always empty: inside a function there are no modules to name."""
        return ""


@dataclasses.dataclass(frozen=True, eq=False)
class FunctionForward(NamedForward):
    """Forward function of a user's function.

    Attributes:
      architecture: as the user has given it; ``None`` for the traced program.
    """

    architecture: str | None = None

    def architecture_text(
        self, params: Params, shapes: Mapping[str, tuple[int, ...]], input_shape: tuple[int, ...]
    ) -> str:
        """What tells two functions with equal parameters apart.

        The name of the function, the shapes, and a hash of the program that JAX traces it to, with
        every constant in it: two functions of one name, or one before and after it was edited,
        differ. It is the same in every process. Another version of JAX may trace another program;
        an `architecture` given by the user stands in its place.
        """
        text = self.architecture
        if text is None:
            net_input = jax.ShapeDtypeStruct((1, *input_shape), jnp.float32)
            with precision.matrix_products("float32"):  # whatever is set where this is called
                text = program_sha256(self, params, net_input)
        return f"{self.module} {text} {dict(shapes)}"


def from_function(
    fn: Callable[[Params, Array], Any],
    params: Params,
    *,
    preprocessing: Preprocessing | None = None,
    input_size: tuple[int, int] | None = None,
    input_format: str | None = None,
    name: str | None = None,
    layers: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    logits_layer: str | None = None,
    code_layer: str | None = None,
    data_formats: Mapping[str, str] | None = None,
    architecture: str | None = None,
) -> Network:
    """Makes a network of any pure function that names its activations.

    ``fn(params, images)`` takes a batch of images, preprocessed, and returns a dictionary of
    activations (dictionaries inside it become names joined by "/"), or ``(logits, dictionary)``, or
    one array, which is called ``"output"``. Activations are floating-point arrays of two to four
    axes, the batch first. Layers come in the order in which the function computes them.

    It must be pure and in evaluation mode: dropout off, batch normalization with its running
    averages. It is traced, so Python may not decide by values of arrays.

    Activations of four axes become maps ``(rows, columns, channels)``, those of three
    ``(tokens, channels)``, whatever the function's own layout: which axes follow the image's rows
    and columns is measured, for each layer, in one compiled pass of six random images, whose
    activations are all in memory at once. A layer all of whose positions see the whole image alike
    gives nothing to measure, and is taken to be laid out as others that are like it, see
    `mfvjax.network.axes.channels_last`; `data_formats` overrules. Receptive fields are measured
    when they are first asked for.

    Args:
      fn: as above; not changed.
      params: pytree of arrays that `fn` takes; copied, since frameworks delete arrays that they
        train on (donated ones). What is no array belongs into `fn`: of an Equinox model,
        ``params, static = equinox.partition(model, equinox.is_array)``.
      preprocessing: from images to what the function takes; its domain says what images are.
      input_size: ``(height, width)``; instead of `preprocessing`, for plain RGB in [0, 255].
      input_format: "NHWC" or "NCHW", of the images that `fn` takes; if ``None``, the one in which
        it runs, and "NHWC" where it runs in both.
      name: for people; the function's name if ``None``.
      layers: activations to keep; all if ``None``.
      class_names: one per unit of the logits layer.
      logits_layer: the classes; if ``None`` the layer ``"logits"``, or the array returned without
        a name, or the last layer; ``""`` if there are no classes.
      code_layer: describes images of a class; if ``None`` the last layer before the classes.
      data_formats: layouts of layers, by name, where they must not be measured: "NHWC" or "NCHW" of
        four axes, "NTC" or "NCT" (T for tokens) of three.
      architecture: text that tells the function from others with equal parameters, for
        `Network.fingerprint`; if ``None`` a hash of the traced program, which a new version of JAX
        may change.

    Raises:
      TypeError: `fn` is not callable.
      ValueError: no size is given or two that differ, `params` hold something else than arrays, the
        function does not run on such images or cannot be traced, returns something else, an
        activation has no batch axis or no floating-point numbers, a name in `layers`,
        `data_formats`, `logits_layer` or `code_layer` does not exist, a format is none, or
        `class_names` has the wrong length. The message says which, and what would be right.
    """
    if not callable(fn):
        raise TypeError(f"fn must be a function (params, images) -> activations, not {fn!r}")
    if input_format not in (None, *function_trial.INPUT_FORMATS):
        raise ValueError(f"input_format must be NHWC or NCHW, not {input_format!r}")
    preprocessing = preprocessing_of(preprocessing, input_size)
    function_trial.check_params(params)
    params = jax.tree.map(jnp.array, params)
    input_format = function_trial.find_input_format(
        fn, params, preprocessing, input_format=input_format, layers=layers
    )
    run = FunctionRun(fn, input_format, {})
    traced = named_outputs.trace(run, params, preprocessing)
    names = chosen_layers(layers, traced.shapes)
    orders = axes.channels_last(
        NamedForward(run, names, ""),
        params,
        {name: traced.shapes[name] for name in names},
        preprocessing,
        input_format=input_format,
        data_formats=data_formats or {},
    )
    label = function_trial.function_name(fn)
    return named_network(
        FunctionForward(
            dataclasses.replace(run, orders=orders), names, label, architecture=architecture
        ),
        params,
        dataclasses.replace(traced, shapes=axes.turned_shapes(traced.shapes, orders)),
        preprocessing=preprocessing,
        name=name or label.rpartition(".")[2],
        class_names=class_names,
        logits_layer=logits_layer,
        code_layer=code_layer,
    )


def program_sha256(fn: Callable[..., Any], *arguments: Any) -> str:
    """SHA-256 (hex) of the program that JAX traces a function to, and of the constants in it.

    Computes nothing. Memory addresses, by which functions inside are printed, are left out.
    """
    program = jax.make_jaxpr(fn)(*arguments)
    digest = hashlib.sha256(_ADDRESS.sub("", str(program.jaxpr)).encode())
    for constant in _constants(program):
        is_key = jnp.issubdtype(jnp.result_type(constant), jax.dtypes.prng_key)
        array = np.asarray(jax.random.key_data(constant) if is_key else constant)
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _constants(program: ClosedJaxpr | Jaxpr) -> Iterator[Any]:
    """Arrays in a program that its text does not show, also in the functions that it calls."""
    if isinstance(program, ClosedJaxpr):
        yield from program.consts
        program = program.jaxpr
    for eqn in program.eqns:
        yield from (value.val for value in eqn.invars if isinstance(value, Literal))
        for part in jax.tree.leaves(list(eqn.params.values()), is_leaf=_is_program):
            if _is_program(part):
                yield from _constants(part)


def _is_program(part: Any) -> bool:
    return isinstance(part, ClosedJaxpr | Jaxpr)
