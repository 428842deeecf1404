"""MobileNet v1 as a Flax module: a second real network, to visualize and to judge pictures with.

Architecture: Howard et al. 2017, "MobileNets", arXiv 1704.04861, table 1, with width 0.75 and an
input of 192 pixels. Weights: TensorFlow's published quantized model, as float32, batch
normalization folded into the convolutions. One photograph of each ImageNet class: top-1 0.770,
top-5 0.944.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from mfvjax.models.convolution import convolve
from mfvjax.network import Network
from mfvjax.preprocess import Preprocessing

NUM_BLOCKS = 13
HALVING = (2, 4, 6, 12)  # blocks with stride 2
PREPROCESSING = Preprocessing((192, 192), mean=127.5, scale=1 / 127.5)
Arrays = Mapping[str, np.ndarray]


class Convolution(nnx.Module):
    """A convolution with padding "SAME", as TensorFlow has it, a bias, and ReLU6."""

    def __init__(self, arrays: Arrays, name: str, stride: int = 1) -> None:
        self.kernel = nnx.Param(jnp.asarray(arrays[f"{name}/kernel"]))
        self.bias = nnx.Param(jnp.asarray(arrays[f"{name}/bias"]))
        self.stride = stride

    def __call__(self, maps: Float[Array, "n h w c"]) -> Float[Array, "n _h _w _c"]:
        """Where the padding is odd, the odd pixel is at the bottom and right."""
        kernel, strides = self.kernel[...], (self.stride, self.stride)
        pads = jax.lax.padtype_to_pads(maps.shape[1:3], kernel.shape[:2], strides, "SAME")
        padded = jnp.pad(maps, ((0, 0), *pads, (0, 0)))
        return jax.nn.relu6(self.convolve(padded, kernel) + self.bias[...][None, None, None])

    def convolve(self, padded: Array, kernel: Array) -> Array:
        """Of all channels; ``(rows, columns, channels, features)`` is the shape of `kernel`."""
        return convolve(padded, kernel, stride=(self.stride, self.stride))


class Depthwise(Convolution):
    """Each channel on its own, as nine shifted products.

    A CPU computes and differentiates these three times as fast as XLA's grouped convolution.
    """

    def convolve(self, padded: Array, kernel: Array) -> Array:
        """``(3, 3, 1, channels)`` is the shape of `kernel`."""
        ends = [side - 2 for side in padded.shape[1:3]]
        shifted = [
            padded[:, i : i + ends[0] : self.stride, j : j + ends[1] : self.stride]
            * kernel[i, j][None, None]
            for i in range(3)
            for j in range(3)
        ]
        return sum(shifted[1:], shifted[0])


class Block(nnx.Module):
    """A depthwise and a pointwise convolution."""

    def __init__(self, arrays: Arrays, name: str, stride: int) -> None:
        self.depthwise = Depthwise(arrays, f"{name}/depthwise", stride)
        self.pointwise = Convolution(arrays, f"{name}/pointwise")

    def __call__(self, maps: Float[Array, "n h w c"]) -> Float[Array, "n _h _w _c"]:
        """One after the other."""
        return self.pointwise(self.depthwise(maps))


class MobileNet(nnx.Module):
    """The network; it returns its activations by name: ``conv0``, ``block1``, ..., ``logits``."""

    def __init__(self, arrays: Arrays) -> None:
        self.conv0 = Convolution(arrays, "conv0", stride=2)
        self.blocks = nnx.List(
            [
                Block(arrays, f"block{i}", stride=2 if i in HALVING else 1)
                for i in range(1, NUM_BLOCKS + 1)
            ]
        )
        # TensorFlow's first output is "background", which is no class of ImageNet.
        self.kernel = nnx.Param(jnp.asarray(arrays["logits/kernel"][0, 0, :, 1:]))
        self.bias = nnx.Param(jnp.asarray(arrays["logits/bias"][1:]))

    def __call__(self, net_input: Float[Array, "n h w 3"]) -> dict[str, Array]:
        """``pool`` is the mean over positions; ``logits`` are before the softmax."""
        maps = self.conv0(net_input)
        named = {"conv0": maps}
        for i, block in enumerate(self.blocks, 1):
            maps = named[f"block{i}"] = block(maps)
        named["pool"] = maps.mean((1, 2))
        named["logits"] = named["pool"] @ self.kernel[...] + self.bias[...][None]
        return named


def load_mobilenet(
    weights: str | os.PathLike[str], synset_words: str | os.PathLike[str]
) -> Network:
    """MobileNet v1 0.75/192 from its arrays; class i is line i of Caffe's ``synset_words.txt``.

    Class names are the whole lines, with their WordNet identifiers.

    Raises:
      FileNotFoundError: a file is not there.
    """
    with open(synset_words, encoding="utf-8") as lines:
        names = lines.read().splitlines()
    with np.load(weights) as arrays:
        return Network.from_nnx(
            MobileNet(arrays), name="mobilenet", preprocessing=PREPROCESSING, class_names=names
        )
