"""Preprocessing against NumPy, there and back, and its JSON."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfvjax.preprocess import CAFFE_IMAGENET, Preprocessing

finite = st.floats(-300, 300, allow_subnormal=False)
factors = st.floats(0.001, 10) | st.tuples(*[st.floats(0.001, 10)] * 3)
fields = st.fixed_dictionaries(
    {
        "input_size": st.tuples(st.integers(1, 9), st.integers(1, 9)),
        "channel_order": st.sampled_from(["RGB", "BGR"]),
        "mean": st.tuples(finite, finite, finite),
        "scale": factors,
    }
)
IMAGES = np.random.default_rng(0).uniform(0, 255, (2, 4, 5, 3)).astype(np.float32)


def to_net_input_slowly(preprocessing, images):
    """Pixel by pixel and channel by channel, in float64."""
    out = np.zeros(images.shape)
    scale = np.broadcast_to(preprocessing.scale, 3)
    for place in np.ndindex(images.shape[:-1]):
        for channel, color in enumerate(preprocessing.channel_order):
            level = float(images[place]["RGB".index(color)])
            out[place][channel] = (level - preprocessing.mean[channel]) * scale[channel]
    return out


@settings(deadline=None)  # the first example compiles
@given(fields=fields)
def test_net_inputs_are_those_of_the_slow_way(fields):
    preprocessing = Preprocessing(**fields)
    fast = preprocessing.to_net_input(jnp.asarray(IMAGES))
    assert fast.dtype == jnp.float32
    slow = to_net_input_slowly(preprocessing, IMAGES)
    np.testing.assert_allclose(fast, slow, rtol=1e-5, atol=1e-4 * np.max(preprocessing.scale))


@settings(deadline=None)
@given(fields=fields)
def test_images_come_back(fields):
    preprocessing = Preprocessing(**fields)
    back = preprocessing.to_images(preprocessing.to_net_input(jnp.asarray(IMAGES)))
    np.testing.assert_allclose(back, IMAGES, atol=1e-3)  # float32 around levels of some hundred


@settings(deadline=None)
@given(fields=fields)
def test_json_brings_back_an_equal_value(fields):
    preprocessing = Preprocessing(**fields)
    assert Preprocessing.from_json(preprocessing.to_json()) == preprocessing


def test_caffe_sees_blue_first_and_no_mean_color():
    red = jnp.zeros((1, 1, 1, 3)).at[..., 0].set(200.0)
    assert CAFFE_IMAGENET.to_net_input(red).ravel().tolist() == [-104, -117, 200 - 123]


def test_integers_become_float32_and_wider_floats_stay():
    assert CAFFE_IMAGENET.to_net_input(jnp.zeros((1, 2, 2, 3), jnp.uint8)).dtype == jnp.float32
    with jax.enable_x64(True):
        assert CAFFE_IMAGENET.to_net_input(jnp.zeros((2, 2, 3), jnp.float64)).dtype == jnp.float64


def test_jit_vmap_and_gradients_agree_with_the_plain_call():
    images = jnp.asarray(IMAGES)
    plain = CAFFE_IMAGENET.to_net_input(images)
    np.testing.assert_array_equal(jax.jit(CAFFE_IMAGENET.to_net_input)(images), plain)
    np.testing.assert_array_equal(jax.vmap(CAFFE_IMAGENET.to_net_input)(images), plain)
    scaled = Preprocessing((4, 5), "BGR", (1.0, 2.0, 3.0), (0.5, 2.0, 4.0))
    slope = jax.grad(lambda x: scaled.to_net_input(x)[0, 1, 1].sum())(images)
    np.testing.assert_array_equal(slope[0, 1, 1], [4.0, 2.0, 0.5])  # back in RGB
    assert float(jnp.abs(slope).sum()) == 6.5


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"input_size": (0, 5)}, "input_size must be"),
        ({"channel_order": "GBR"}, "must be RGB or BGR, not 'GBR'"),
        ({"mean": (0.0, float("nan"), 0.0)}, "three finite numbers"),
        ({"scale": 0.0}, "scale must be finite and not 0"),
        ({"scale": (1.0, float("inf"), 1.0)}, "scale must be finite"),
    ],
)
def test_impossible_values_are_refused(fields, match):
    good = {"input_size": (4, 5), "channel_order": "RGB", "mean": (0.0, 0.0, 0.0), "scale": 1.0}
    text = json.dumps(good | fields)
    with pytest.raises(ValueError, match=match):
        Preprocessing.from_json(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"input_size": [4, 5]}',
        CAFFE_IMAGENET.to_json().replace("227", "22.7"),
        CAFFE_IMAGENET.to_json().replace("227", "true"),
        CAFFE_IMAGENET.to_json().replace("117.0, ", ""),
        CAFFE_IMAGENET.to_json().replace("1.0", '"one"'),
        CAFFE_IMAGENET.to_json().replace('"BGR"', "[1]"),
        CAFFE_IMAGENET.to_json()[:-1] + ', "more": 1}',
    ],
)
def test_damaged_json_is_refused(text):
    with pytest.raises(ValueError, match="preprocessing cannot be read"):
        Preprocessing.from_json(text)
