"""The network that a graph describes, as a Flax module."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from mfvjax.models import layers, ops
from mfvjax.models.graph import GraphSpec, LayerSpec

Parameters: TypeAlias = Mapping[str, Array]
_Apply: TypeAlias = Callable[[Any, Parameters, Sequence[Array], int], Sequence[Array]]


class CaffeLayer(nnx.Module):
    """The parameters of one layer of a graph, and the dtype it computes in."""

    def __init__(
        self,
        shapes: Mapping[str, ops.Shape],
        *,
        rngs: nnx.Rngs,
        dtype: DTypeLike,
        param_dtype: DTypeLike,
    ) -> None:
        self.dtype = dtype
        self.names = tuple(shapes)
        for name, shape in shapes.items():
            setattr(self, name, nnx.Param(layers.initial(name, shape, rngs, param_dtype)))

    def values(self) -> dict[str, Array]:
        """The parameters by name, in the dtype of the computation."""
        return {name: getattr(self, name)[...].astype(self.dtype) for name in self.names}


class CaffeGraph(nnx.Module):
    """The network of a `GraphSpec`; its parameters are ``layer/parameter``, as converted.

    A layer with parameters is an attribute under its own name, slashes included.

    Args:
      spec: the graph; also the attribute ``spec``.
      rngs: makes the starting parameters.
      dtype: of the computation and of the activations.
      param_dtype: of the parameters.

    Raises:
      ValueError: a layer is named like an attribute that modules have, such as ``"eval"``.
    """

    def __init__(
        self,
        spec: GraphSpec,
        *,
        rngs: nnx.Rngs | None = None,
        dtype: DTypeLike = jnp.float32,
        param_dtype: DTypeLike = jnp.float32,
    ) -> None:
        rngs = nnx.Rngs(0) if rngs is None else rngs
        self.spec, self.dtype = spec, dtype
        for name, shapes in spec.parameter_shapes().items():
            if hasattr(self, name):
                raise ValueError(f"layer {name!r}: modules have an attribute of this name")
            layer = CaffeLayer(shapes, rngs=rngs, dtype=dtype, param_dtype=param_dtype)
            setattr(self, name, layer)

    def __call__(
        self, net_input: Float[Array, "batch height width channels"]
    ) -> dict[str, Float[Array, "batch *shape"]]:
        """Every activation by name, in execution order; the input is not among them.

        Raises:
          ValueError: `net_input` has another size than the graph's input.
        """
        if net_input.shape[1:] != self.spec.input_shape:
            raise ValueError(
                f"network {self.spec.name!r} takes (batch, *{self.spec.input_shape}), "
                f"got {net_input.shape}"
            )
        known = {self.spec.input_name: net_input.astype(self.dtype)}
        written: dict[str, Array] = {}
        for layer in self.spec.layers:
            outputs = self._run(layer, [known[blob] for blob in layer.inputs])
            known.update(zip(layer.outputs, outputs, strict=True))
            written.update(zip(layer.outputs, outputs, strict=True))
        return written

    def _run(self, layer: LayerSpec, inputs: Sequence[Array]) -> Sequence[Array]:
        module = getattr(self, layer.name, None)
        parameters = module.values() if isinstance(module, CaffeLayer) else {}
        return _APPLY[type(layer.op)](layer.op, parameters, inputs, len(layer.outputs))


def _convolution(op: ops.Convolution, p: Parameters, x: Sequence[Array], _: int) -> Sequence[Array]:
    maps = layers.convolve(
        x[0], p["kernel"], stride=op.stride, pad=op.pad, dilation=op.dilation, groups=op.groups
    )
    return (layers.add_bias(maps, p["bias"]) if op.use_bias else maps,)


def _inner_product(
    op: ops.InnerProduct, p: Parameters, x: Sequence[Array], _: int
) -> Sequence[Array]:
    outputs = layers.dense(x[0], p["kernel"])
    return (layers.add_bias(outputs, p["bias"]) if op.use_bias else outputs,)


def _pooling(op: ops.Pooling, p: Parameters, x: Sequence[Array], _: int) -> Sequence[Array]:
    pool = layers.max_pool if op.method == "max" else layers.average_pool
    return (pool(x[0], kernel=op.kernel, stride=op.stride, pad=op.pad, round_up=op.round_up),)


def _lrn(op: ops.LRN, p: Parameters, x: Sequence[Array], _: int) -> Sequence[Array]:
    return (
        layers.local_response_norm(
            x[0],
            local_size=op.local_size,
            alpha=op.alpha,
            beta=op.beta,
            k=op.k,
            within_channel=op.within_channel,
        ),
    )


def _prelu(op: ops.PReLU, p: Parameters, x: Sequence[Array], _: int) -> Sequence[Array]:
    slope = layers.along(p["slope"], () if op.channel_shared else (-1,), x[0].ndim)
    return (jnp.where(x[0] > 0, x[0], slope * x[0]),)


def _batch_norm(op: ops.BatchNorm, p: Parameters, x: Sequence[Array], _: int) -> Sequence[Array]:
    return (layers.batch_norm(x[0], p["mean"], p["variance"], epsilon=op.epsilon),)


def _scale(op: ops.Scale, p: Parameters, x: Sequence[Array], _: int) -> Sequence[Array]:
    scaled = x[0] * layers.along(p["scale"], op.axes, x[0].ndim)
    return (scaled + layers.along(p["bias"], op.axes, x[0].ndim) if op.use_bias else scaled,)


def _bias(op: ops.Bias, p: Parameters, x: Sequence[Array], _: int) -> Sequence[Array]:
    return (x[0] + layers.along(p["bias"], op.axes, x[0].ndim),)


def _broadcast(op: ops.Broadcast, p: Parameters, x: Sequence[Array], _: int) -> Sequence[Array]:
    shape = [1] * x[0].ndim
    shape[0] = x[0].shape[0]
    for axis in op.axes:
        shape[axis] = x[0].shape[axis]
    other = x[1].reshape(shape)
    return (x[0] * other if op.method == "multiply" else x[0] + other,)


def _eltwise(op: ops.Eltwise, p: Parameters, x: Sequence[Array], _: int) -> Sequence[Array]:
    if op.coefficients:
        x = [c * inputs for c, inputs in zip(op.coefficients, x, strict=True)]
    combine = {"sum": jnp.add, "product": jnp.multiply, "max": jnp.maximum}[op.method]
    total = x[0]
    for inputs in x[1:]:
        total = combine(total, inputs)
    return (total,)


def _slice(op: ops.Slice, p: Parameters, x: Sequence[Array], count: int) -> Sequence[Array]:
    bounds = op.bounds(x[0].shape[1:], count)
    return jnp.split(x[0], bounds[1:-1], axis=op.axis)


def _reshape(op: ops.Reshape, p: Parameters, x: Sequence[Array], _: int) -> Sequence[Array]:
    channels_first = jnp.moveaxis(x[0], -1, 1)
    shape = (x[0].shape[0], op.shape[-1], *op.shape[:-1])
    return (jnp.moveaxis(channels_first.reshape(shape), 1, -1),)


def _relu(op: ops.ReLU, p: Parameters, x: Sequence[Array], _: int) -> Sequence[Array]:
    if op.negative_slope == 0:
        return (jax.nn.relu(x[0]),)
    return (jnp.where(x[0] > 0, x[0], op.negative_slope * x[0]),)


_APPLY: dict[type[ops.Op], _Apply] = {
    ops.BatchNorm: _batch_norm,
    ops.Bias: _bias,
    ops.Broadcast: _broadcast,
    ops.Concat: lambda op, p, x, n: (jnp.concatenate(x, axis=op.axis),),
    ops.Convolution: _convolution,
    ops.ELU: lambda op, p, x, n: (jax.nn.elu(x[0], op.alpha),),
    ops.Eltwise: _eltwise,
    ops.Identity: lambda op, p, x, n: (x[0],) * n,
    ops.InnerProduct: _inner_product,
    ops.LRN: _lrn,
    ops.Pooling: _pooling,
    ops.PReLU: _prelu,
    ops.ReLU: _relu,
    ops.Reshape: _reshape,
    ops.Scale: _scale,
    ops.Sigmoid: lambda op, p, x, n: (jax.nn.sigmoid(x[0]),),
    ops.Slice: _slice,
    ops.Softmax: lambda op, p, x, n: (jax.nn.softmax(x[0], axis=op.axis),),
    ops.TanH: lambda op, p, x, n: (jnp.tanh(x[0]),),
}
