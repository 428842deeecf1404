"""Precision of matrix products as networks are lowered for accelerators, gradients included."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mfvjax.network import Network
from mfvjax.network.precision import PRODUCTS, matrix_products
from mfvjax.preprocess import Preprocessing
from mfvjax.types import LayerInfo
from tests.asked_precision import ACCELERATORS, Product, products
from tests.small_caffe import small_network

SIZE = (24, 20)
EATS = Preprocessing(SIZE)


class Mixer(nnx.Module):
    """Products of every kind that modules make, and one that asks for its own precision."""

    def __init__(self, *, rngs):
        self.conv = nnx.Conv(3, 8, (3, 3), strides=2, rngs=rngs)
        self.depthwise = nnx.Conv(8, 8, (3, 3), feature_group_count=8, rngs=rngs)
        self.attend = nnx.MultiHeadAttention(2, 8, decode=False, rngs=rngs)
        self.head = nnx.Linear(8, 5, rngs=rngs)
        self.rough = nnx.Linear(5, 5, precision="default", rngs=rngs)

    def __call__(self, x):
        maps = nnx.relu(self.depthwise(jax.jit(self.conv)(x)))
        tokens = jax.checkpoint(self.attend)(maps.reshape(maps.shape[0], -1, 8))
        logits = self.head(tokens.mean(1))
        return {"tokens": tokens, "logits": logits, "rough": self.rough(logits)}


class LinenMixer(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(8, (3, 3), strides=2)(x))
        x = nn.ConvTranspose(4, (2, 2), strides=(2, 2))(x)
        return nn.Dense(5)(jnp.einsum("bhwc,cd->bd", x, self.param("mix", nn.zeros, (4, 4))))


def nnx_network():
    return Network.from_nnx(Mixer(rngs=nnx.Rngs(0)), preprocessing=EATS, logits_layer="logits")


def linen_network():
    module = LinenMixer()
    variables = module.init(jax.random.key(0), jnp.zeros((1, *SIZE, 3)))
    return Network.from_linen(module, variables, preprocessing=EATS)


def plain_network():
    """A network of a bare function, with weights for its convolution."""

    def forward(params, net_input):
        maps = jax.lax.conv_general_dilated(
            net_input, params, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return {"maps": maps, "logits": jnp.einsum("bhwc,bhwd->bcd", maps, maps).sum(1)}

    layers = {"maps": LayerInfo("maps", (12, 10, 4)), "logits": LayerInfo("logits", (4,))}
    kernel = jnp.ones((3, 3, 3, 4))
    return Network("plain", forward, kernel, EATS, layers, logits_layer="logits")


USERS = {"nnx": nnx_network, "linen": linen_network, "function": plain_network}


def read_and_slope(network, layer=None):
    """The function from parameters and images to a layer, and to its gradients by both."""
    layer = layer or network.logits_layer

    def total(params, images):
        return network.read(params, images)[layer].sum()

    return (lambda params, images: network.read(params, images)[layer]), jax.grad(total, (0, 1))


def all_products(network, platform, layer=None) -> list[Product]:
    images = jnp.zeros((2, *network.input_size, network.preprocessing.domain.channels))
    value, slope = (
        products(function, network.params, images, platform=platform)
        for function in read_and_slope(network, layer)
    )
    assert len(slope) > len(value) > 0
    return value + slope


@pytest.mark.parametrize("platform", ACCELERATORS)
@pytest.mark.parametrize("make", USERS.values(), ids=USERS)
def test_float32_of_a_users_network_is_float32(make, platform):
    for product in all_products(make(), platform):
        assert product == Product(product.name, ("f32", "f32"), ("HIGHEST", "HIGHEST"))


def test_a_product_that_asks_for_a_precision_keeps_it():
    asked = {product.precision for product in all_products(nnx_network(), "cuda", "rough")}
    assert asked == {("HIGHEST", "HIGHEST"), ("DEFAULT", "DEFAULT")}


@pytest.mark.parametrize("outer", ["bfloat16", "highest"])
@pytest.mark.parametrize("make", USERS.values(), ids=USERS)
def test_faster_precisions_have_names_whatever_the_frame_around(make, outer):
    network = make()
    fast, narrow = map(network.with_precision, ("tensorfloat32", "bfloat16"))
    with jax.default_matmul_precision(outer), jax.numpy_dtype_promotion("standard"):
        exact, fast, narrow = (all_products(one, "cuda") for one in (network, fast, narrow))
    assert {product.precision for product in exact} == {("HIGHEST", "HIGHEST")}
    assert {product[1:] for product in fast} == {(("f32", "f32"), ("HIGH", "HIGH"))}
    assert {product.precision for product in narrow} == {("DEFAULT", "DEFAULT")}
    assert all("bf16" in product.types for product in narrow)


@pytest.mark.parametrize("platform", ACCELERATORS)
@pytest.mark.parametrize("kind", ["caffe", "compact"])
def test_the_librarys_own_models(kind, platform, tmp_path):
    network = small_network(tmp_path) if kind == "caffe" else Network.load("compact")
    expected = {
        "float32": (("f32", "f32"), ("HIGHEST", "HIGHEST")),
        "tensorfloat32": (("f32", "f32"), ("HIGH", "HIGH")),
        "bfloat16": (("bf16", "bf16"), ("DEFAULT", "DEFAULT")),
    }
    for name, asked in expected.items():
        found = all_products(network.with_precision(name), platform)
        assert {product.name for product in found} == {"convolution", "dot_general"}
        assert {product[1:] for product in found} == {asked}


def test_a_modules_own_rule_for_its_derivative_needs_a_frame():
    @jax.custom_vjp
    def product(x, y):
        return x @ y

    product.defvjp(lambda x, y: (x @ y, (x, y)), lambda saved, g: (g @ saved[1].T, saved[0].T @ g))

    class Own(nnx.Module):
        def __init__(self):
            self.kernel = nnx.Param(jnp.ones((3, 4)))

        def __call__(self, x):
            return {"logits": jax.jit(product)(x.mean((1, 2)), self.kernel[...])}

    network = Network.from_nnx(Own(), preprocessing=EATS)
    with matrix_products(network.compute_dtype):
        assert {p.precision for p in all_products(network, "cuda")} == {("HIGHEST", "HIGHEST")}


def test_products_by_name():
    assert list(PRODUCTS) == ["float32", "tensorfloat32", "bfloat16"]
    with pytest.raises(ValueError, match=r"precision must be one of .*'tensorfloat32'.*'half'"):
        matrix_products("half")


def test_a_networks_precision_is_what_it_computes_in(tmp_path):
    network = small_network(tmp_path)
    narrow = dataclasses.replace(network, compute_dtype="bfloat16")
    assert narrow.forward == network.with_precision("bfloat16").forward
    with pytest.raises(ValueError, match="precision must be one of"):
        dataclasses.replace(network, compute_dtype="float8")
    images = np.zeros((1, *network.input_size, 3), np.float32)
    fast = network.with_precision("tensorfloat32")
    assert fast.fingerprint != network.fingerprint
    np.testing.assert_allclose(  # on a CPU, the same
        fast.activations(images)["prob"], network.activations(images)["prob"], rtol=1e-6
    )
