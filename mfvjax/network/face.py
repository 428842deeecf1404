"""The one face of every model: named activations, preprocessing, and the facts of each layer."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Num

from mfvjax.network import code_layers, precision, units
from mfvjax.network.fingerprint import fingerprint
from mfvjax.preprocess import Preprocessing
from mfvjax.types import Activations, ForwardFn, LayerInfo, Params, PixelBox, Unit


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Network:
    """A model that names its activations, with everything needed to ask for a unit of it.

    Make one with `load`, `from_caffe`, `from_nnx`, `from_linen` or `from_function`. Two networks
    are equal only if they are the same object; `fingerprint` tells whether two compute the same.

    Attributes:
      name: for people; not used to find anything.
      forward: ``(params, net_input) -> {layer: activation}``, pure; every activation has the batch
        axis first and channels last, and is float32 (float64 if `params` are).
      params: pytree that `forward` takes.
      preprocessing: from images to ``net_input``; says what images are.
      layers: facts of every activation that `forward` returns, in the order of execution.
      logits_layer: the classes before the softmax; empty if the network has none, as one that ends
        before them.
      class_names: one per unit of the logits layer, or ``None``.
      class_code_layer: what `code_layer` answers for class units; ``None`` leaves it to the rule.
      architecture: text that tells models with equal parameters apart in `fingerprint`.
      compute_dtype: ``"float32"``, ``"tensorfloat32"`` or ``"bfloat16"``; `forward` computes in it,
        whatever it was made for. See `with_precision`.

    Raises:
      ValueError: `logits_layer` or `class_code_layer` is no layer, `class_names` has another length
        than the logits layer has units or there is no such layer, or `compute_dtype` is no
        precision.
    """

    name: str
    forward: ForwardFn
    params: Params
    preprocessing: Preprocessing
    layers: Mapping[str, LayerInfo]
    logits_layer: str
    class_names: tuple[str, ...] | None = None
    class_code_layer: str | None = None
    architecture: str = ""
    compute_dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.logits_layer:
            units.find_layer(self.layers, self.logits_layer)
        if self.class_code_layer is not None:
            units.find_layer(self.layers, self.class_code_layer)
        if self.class_names is not None and len(self.class_names) != self.num_classes:
            raise ValueError(
                f"{len(self.class_names)} class names for the {self.num_classes} units of layer "
                f"{self.logits_layer!r}; give one name per unit"
            )
        object.__setattr__(self, "forward", precision.forward_in(self.compute_dtype, self.forward))

    def __repr__(self) -> str:
        height, width = self.input_size
        classes = f"{self.num_classes} classes in {self.logits_layer!r}"
        return (
            f"Network({self.name!r}, {len(self.layers)} layers, input {height}x{width}, "
            f"{classes if self.logits_layer else 'no classes'}, {self.compute_dtype})"
        )

    @property
    def input_size(self) -> tuple[int, int]:
        """``(height, width)`` of the images the network takes, in pixels."""
        return self.preprocessing.input_size

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """``(height, width, channels)`` of the images the network takes."""
        return (*self.preprocessing.input_size, self.preprocessing.domain.channels)

    @property
    def num_classes(self) -> int:
        """Units of the logits layer; 0 if there is none."""
        return self.layers[self.logits_layer].num_units if self.logits_layer else 0

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the architecture, the preprocessing, the precision and every parameter."""
        about = (self.architecture, self.preprocessing.to_json(), self.compute_dtype)
        return fingerprint(about, self.params)

    @functools.cached_property
    def model_fingerprint(self) -> str:
        """`fingerprint` without the layers that were added; the same for one network with several.

        Whether a judge is another network is told by it.
        """
        from mfvjax.network.derived import without_added

        return without_added(self).fingerprint

    def read(
        self, params: Params, images: Num[Array, "batch height width channels"]
    ) -> Activations:
        """All activations of images; pure, to be jitted, mapped or differentiated in any mode.

        Args:
          params: the network's own `params`, or others of the same structure.
          images: of the network's `input_shape`; not checked here.
        """
        return dict(self.forward(params, self.preprocessing.to_net_input(images)))

    def activations(
        self, images: Any, layers: str | Sequence[str] | None = None
    ) -> dict[str, Array]:
        """Activations of a batch of images, compiled once per batch size and choice of layers.

        Args:
          images: ``(batch, *input_shape)`` in the range of their domain, floats or integers.
          layers: one name or several; all if ``None``. Others are not computed.

        Returns:
          ``{layer: activation}``, in the order of execution.

        Raises:
          ValueError: the images have another shape than the network takes, or a layer is unknown.
        """
        names = (
            [layers] if isinstance(layers, str) else list(self.layers if layers is None else layers)
        )
        for name in names:
            units.find_layer(self.layers, name)
        if np.ndim(images) != 4 or np.shape(images)[1:] != self.input_shape:
            shape = ", ".join(map(str, self.input_shape))
            raise ValueError(
                f"network {self.name!r} takes images of shape (batch, {shape}), "
                f"not {np.shape(images)}"
            )
        ordered = tuple(name for name in self.layers if name in names)
        out = self._read_selected(self.params, jnp.asarray(images), ordered)
        return {name: out[name] for name in ordered}

    @functools.cached_property
    def _read_selected(self) -> Callable[[Params, Array, tuple[str, ...]], Activations]:
        def selected(params: Params, images: Array, names: tuple[str, ...]) -> Activations:
            out = self.read(params, images)
            return {name: out[name] for name in names}

        return jax.jit(selected, static_argnums=2)

    def resolve(self, unit: Unit | str) -> Unit:
        """Checks a unit and fills in its position: a map's center where none is given.

        Args:
          unit: a ``Unit``, or text such as ``"fc8:945"``, ``"conv4:12"``, ``"conv4:12@6,6"``; in a
            layer whose units have names also ``"probes:stripes"``.

        Raises:
          ValueError: the text is no unit, or its layer, index, name or position does not exist.
        """
        return units.resolve_unit(self.layers, unit)

    def code_layer(self, layer: str) -> str:
        """The layer whose activations describe images when facets of `layer`'s units are sought.

        For a class layer the last layer before the classes (the paper's fc7); for one that was
        added the network's own layer that it is read out of; otherwise `layer`.

        Raises:
          ValueError: there is no such layer.
        """
        if units.find_layer(self.layers, layer).base is not None:
            return self.layers[layer].origin
        if not self.logits_layer:
            return layer
        if layer not in code_layers.class_layers(self.layers, self.logits_layer):
            return layer
        return self.class_code_layer or code_layers.penultimate_layer(
            self.layers, self.logits_layer
        )

    def receptive_field(self, unit: Unit | str) -> PixelBox:
        """The input pixels that `unit` can depend on, not clipped to the image.

        The whole image for a dense layer, and for any layer whose positions all see all of it.

        Raises:
          ValueError: as `resolve`.
        """
        unit = self.resolve(unit)
        field = self.layers[unit.layer].receptive_field
        if field is None or unit.position is None:
            return PixelBox(0, 0, *self.input_size)
        return field.box(unit.position)

    def is_class_layer(self, layer: str) -> bool:
        """Whether a layer's units are classes: the logits layer, and other own ones of its shape.

        Raises:
          ValueError: there is no such layer.
        """
        info = units.find_layer(self.layers, layer)
        if not self.logits_layer or info.base is not None:
            return False
        return info.shape == self.layers[self.logits_layer].shape

    def class_name(self, index: int) -> str:
        """Name of a class, ``"class 17"`` if the network has no names.

        Raises:
          ValueError: `index` is not in ``range(num_classes)``, or the network has no classes.
        """
        if not self.logits_layer:
            raise ValueError(f"class {index}: network {self.name!r} has no layer of classes")
        if not 0 <= index < self.num_classes:
            raise ValueError(f"class {index}: the classes are 0 to {self.num_classes - 1}")
        return self.class_names[index] if self.class_names else f"class {index}"

    def with_input_size(self, size: tuple[int, int], *, truncate: bool = False) -> Network:
        """The same network on images of another size; parameters and layer names stay.

        Maps grow and shrink with the images, and a pooling over a whole map pools the new one. A
        dense layer behind a map fits only where the map keeps its size.

        Args:
          size: ``(height, width)`` in pixels.
          truncate: leaves out the layers of a graph that do not fit, and all that read them: of
            CaffeNet, ``fc6`` and what follows. If the classes are among them the result has no
            classes: its `logits_layer` is empty, its `class_names` are ``None``, and the units of
            each layer are coded by that layer itself.

        Raises:
          ValueError: `size` is no size, or some layer does not fit it: the message names the first.
            With `truncate` too if none fits, or for a user's module, which runs as a whole.
        """
        from mfvjax.network.resize import resize_network

        return resize_network(self, size, truncate=truncate)

    def with_precision(self, compute_dtype: str) -> Network:
        """The same network computed in another precision; activations stay float32.

        "float32" is float32 on every device, in a user's modules too. "tensorfloat32" keeps the
        type but lets a device multiply matrices with some ten bits of precision: TF32 on NVIDIA's,
        three passes of bfloat16 on TPUs, nothing else on CPUs. "bfloat16" computes all of it in
        that type. A layer that fixes its own dtype, or the precision of a product, keeps it.

        Parameters are kept as they are and cast inside `forward`, so all share one copy.

        Raises:
          ValueError: another precision.
        """
        if compute_dtype == self.compute_dtype:
            return self
        return dataclasses.replace(self, compute_dtype=compute_dtype)

    def with_directions(
        self,
        layer: str,
        vectors: Any,
        *,
        names: Sequence[str] | None = None,
        bias: Any = None,
        name: str = "probes",
    ) -> Network:
        """The same network with directions in a layer as the units of one more layer.

        Unit n is ``activation . vectors[n] + bias[n]`` at each position of a map or sequence, or
        of the one vector of a dense layer. It can be asked for as any other: ``"probes:3"``, or by
        its name, ``"probes:stripes"``. Its facets are told apart by the layer's own activations.

        Args:
          layer: any, an added one too.
          vectors: ``(n, d)``, d the channels of the layer: weights of linear probes, components of
            a factorization, rows of a sparse autoencoder's decoder.
          names: one per direction.
          bias: one per direction.
          name: of the new layer.

        Raises:
          ValueError: there is no such layer, there is one called `name`, or the vectors, names or
            biases do not fit; see `mfvjax.network.directions.Directions`.
        """
        from mfvjax.network.directions import Directions

        names = None if names is None else tuple(names)
        bias = None if bias is None else np.asarray(bias)
        return Directions(layer, np.asarray(vectors), names, bias, name).on(self)

    def with_encoder(
        self,
        layer: str,
        encode: Callable[[Any, Array], Array],
        params: Any,
        *,
        names: Sequence[str] | None = None,
        name: str = "encoder",
    ) -> Network:
        """The same network with what a function makes of a layer's vectors as one more layer.

        As of a sparse autoencoder's encoder. The function is mapped over images and positions: it
        is given one vector, and what it makes of it cannot depend on others.

        Args:
          layer: any, an added one too.
          encode: ``(params, activation (d,)) -> (n,)``, pure; d are the channels of the layer.
          params: its parameters, a pytree of arrays; they count for `fingerprint` and precision.
          names: one per unit.
          name: of the new layer.

        Raises:
          ValueError: there is no such layer, there is one called `name`, the function cannot take
            the layer's vectors or makes no vector of floats, or the names are of another number.
        """
        from mfvjax.network.derived import add_layer

        return add_layer(self, layer, encode, params, name=name, unit_names=names)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Network:
        """Loads a ``.safetensors`` file, or a network by name; as `mfvjax.network.files.load`."""
        from mfvjax.network.files import load

        return load(path)

    def save(self, path: str | os.PathLike[str], *, dtype: str = "float32") -> None:
        """Writes a ``.safetensors`` file that `load` reads; as `mfvjax.network.files.save`."""
        from mfvjax.network.files import save

        save(self, path, dtype=dtype)

    @classmethod
    def from_caffe(
        cls, prototxt: str | os.PathLike[str], caffemodel: str | os.PathLike[str], **options: Any
    ) -> Network:
        """Reads a network from Caffe's two files; options as `mfvjax.network.caffe.from_caffe`."""
        from mfvjax.network.caffe import from_caffe

        return from_caffe(prototxt, caffemodel, **options)

    @classmethod
    def from_nnx(cls, module: Any, **options: Any) -> Network:
        """Wraps a user's NNX module; options as `mfvjax.network.flax_nnx.from_nnx`."""
        from mfvjax.network.flax_nnx import from_nnx

        return from_nnx(module, **options)

    @classmethod
    def from_linen(cls, module: Any, variables: Any, **options: Any) -> Network:
        """Wraps a user's Linen module; options as `mfvjax.network.flax_linen.from_linen`."""
        from mfvjax.network.flax_linen import from_linen

        return from_linen(module, variables, **options)

    @classmethod
    def from_function(cls, fn: Callable[..., Any], params: Params, **options: Any) -> Network:
        """Wraps any pure function; options as `mfvjax.network.function.from_function`."""
        from mfvjax.network.function import from_function

        return from_function(fn, params, **options)

    @classmethod
    def from_torch(cls, module: Any, **options: Any) -> Network:
        """Wraps a user's PyTorch module; options as `mfvjax.network.torch_module.from_torch`."""
        from mfvjax.network.torch_module import from_torch

        return from_torch(module, **options)
