"""Layouts of activations, measured: against slow sums, in all orders of axes, and where nothing
can be measured.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfvjax.domain import Domain
from mfvjax.network import axes
from mfvjax.preprocess import Preprocessing

SIZE = (22, 17)
EATS = Preprocessing(SIZE, mean=(127.5, 120, 110), scale=1 / 60)


def kernels(seed, channels=(3, 6, 9)):
    rng = np.random.default_rng(seed)
    pairs = itertools.pairwise(channels)
    return [
        jnp.asarray(rng.normal(0, (9 * i) ** -0.5, (3, 3, i, o)), jnp.float32) for i, o in pairs
    ]


def convolved(params, net_input, *, strides=2):
    x, maps = net_input, []
    for kernel in params:
        dims = ("NHWC", "HWIO", "NHWC")
        x = jax.lax.conv_general_dilated(
            x, kernel, (strides, strides), "SAME", dimension_numbers=dims
        )
        maps.append(x)
        x = jax.nn.relu(x)
    return maps


def found(forward, params=None, *, preprocessing=EATS, input_format="NHWC", data_formats=None):
    """Transpositions, and the shapes they were found for."""
    sizes = (7, *preprocessing.input_size, preprocessing.domain.channels)
    shapes = {}

    def note(params, net_input):  # the function's own order; JAX sorts what is returned
        shapes.update((n, array.shape[1:]) for n, array in forward(params, net_input).items())

    jax.eval_shape(note, params, jax.ShapeDtypeStruct(sizes, jnp.float32))
    return axes.channels_last(
        forward,
        params,
        shapes,
        preprocessing,
        input_format=input_format,
        data_formats=data_formats or {},
    )


@pytest.mark.parametrize("seed", range(3))
def test_maps_are_found_in_any_order_of_their_axes(seed):
    """Two convolutions of few channels, each of them in all six layouts."""
    layouts = list(itertools.permutations((1, 2, 3)))

    def forward(params, net_input):
        return {
            f"{depth} {layout}": jnp.transpose(maps, (0, *layout))
            for depth, maps in enumerate(convolved(params, net_input))
            for layout in layouts
        }

    orders = found(forward, kernels(seed))
    for depth, layout in itertools.product(range(2), layouts):
        turned = (0, *layout)
        back = tuple(turned[axis] for axis in orders[f"{depth} {layout}"])
        assert back == (0, 1, 2, 3), (depth, layout)


@pytest.mark.parametrize("column_major", [False, True])
@pytest.mark.parametrize("with_class", [False, True])
def test_tokens_are_found_before_and_behind_their_channels(column_major, with_class):
    def forward(params, net_input):
        maps = convolved(params, net_input)[1]
        maps = maps.swapaxes(1, 2) if column_major else maps
        tokens = maps.reshape(maps.shape[0], -1, maps.shape[-1])
        if with_class:
            tokens = jnp.concatenate([tokens.mean(1, keepdims=True), tokens], 1)
        return {"rows": tokens, "columns": tokens.swapaxes(1, 2)}

    orders = found(forward, kernels(0))
    assert orders == {"rows": (0, 1, 2), "columns": (0, 2, 1)}


def test_contrasts_are_those_of_slow_sums():
    def forward(params, net_input):
        first, second = convolved(params, net_input)
        tokens = second.reshape(6, -1, second.shape[-1])
        places = np.arange(tokens.shape[1])
        near = np.exp(-np.abs(np.subtract.outer(places, places)) / 4).astype(np.float32)
        mixed = jnp.einsum("st,btc->bsc", near, tokens)
        return {"map": first, "turned": second.transpose(0, 3, 1, 2), "tokens": mixed}

    params = kernels(4)
    measured = axes.contrasts(forward, params, ["map", "turned", "tokens"], EATS)
    images = axes._probes(EATS)
    out = forward(params, EATS.to_net_input(jnp.asarray(images)))
    for name, contrast in measured.items():
        base, other, upper, lower, left, right = np.asarray(out[name], np.float64)
        for line, (first, last) in enumerate([(upper, lower), (left, right)]):
            for axis in range(base.ndim):
                shares = []
                for index in range(base.shape[axis]):
                    one, two, a, b = (v.take(index, axis) for v in (base, other, first, last))
                    at_first = np.abs(a - one).sum() + np.abs(b - two).sum()
                    at_last = np.abs(b - one).sum() + np.abs(a - two).sum()
                    shares.append((at_last - at_first) / (at_last + at_first))
                half = len(shares) // 2
                expected = np.mean(shares[len(shares) - half :]) - np.mean(shares[:half])
                assert contrast[line, axis] == pytest.approx(expected / 2, abs=1e-5)


def test_halves_of_the_probes_are_replaced_and_alike():
    one, other, upper, lower, left, right = axes._probes(EATS)
    assert (one != other).all()
    np.testing.assert_array_equal(upper[:11], other[:11])
    np.testing.assert_array_equal(upper[11:], one[11:])
    np.testing.assert_array_equal(lower[:11], one[:11])
    np.testing.assert_array_equal(lower[11:], other[11:])
    np.testing.assert_array_equal(left[:, :9], other[:, :9])
    np.testing.assert_array_equal(left[:, 9:], one[:, 9:])
    np.testing.assert_array_equal(right[:, :9], one[:, :9])
    np.testing.assert_array_equal(right[:, 9:], other[:, 9:])
    np.testing.assert_array_equal(one[:11], one[11:])
    np.testing.assert_array_equal(one[:, :8], one[:, 9:])
    low = Preprocessing((6, 6), domain=Domain(2, -80, 0, "spectrogram"))
    values = axes._probes(low)
    assert values.shape == (6, 6, 6, 2)
    assert values.min() >= -80
    assert values.max() <= 0


@pytest.mark.parametrize("seed", range(4))
def test_channels_are_not_taken_for_places_where_all_see_all(seed):
    """Few channels, each with a taste of its own; places all alike."""

    def forward(params, net_input):
        maps = convolved(params, net_input, strides=1)[1]
        pooled = jnp.tanh(3 * maps.mean((1, 2)))
        return {
            "map": jnp.broadcast_to(pooled[:, :, None, None], (*pooled.shape, 5, 4)),
            "tokens": jnp.broadcast_to(pooled[:, None], (len(pooled), 20, 9)),
        }

    params = kernels(seed)
    measured = axes.contrasts(forward, params, ["map", "tokens"], EATS)
    assert axes.order_of(measured["map"]) is None
    assert axes.order_of(measured["tokens"]) is None


@pytest.mark.parametrize(
    ("contrast", "order"),
    [
        ([[0.9, 0, 0], [0, 0.9, 0]], (0, 1, 2, 3)),
        ([[0, 0.9, 0], [0, 0, 0.9]], (0, 2, 3, 1)),
        ([[0, 0, 0.3], [0.25, 0, 0]], (0, 3, 1, 2)),
        ([[0.9, 0, 0], [0.1, 0.15, 0]], None),  # no columns
        ([[0.9, 0, 0], [0, 0.3, 0.25]], None),  # two that could be the columns
        ([[-0.9, 0, 0], [0, -0.9, 0]], None),  # the wrong way round
        ([[0.9, 0], [0, 0]], (0, 1, 2)),
        ([[0, 0], [0.1, 0.8]], (0, 2, 1)),
        ([[0.15, 0], [0, 0]], None),
        ([[0.5, 0], [0, 0.45]], None),
    ],
)
def test_contrasts_tell_an_order_or_nothing(contrast, order):
    assert axes.order_of(np.array(contrast)) == order


def broadcast(*shape):
    """A layer of these sizes that depends on the whole image everywhere alike."""
    return lambda net_input: jnp.broadcast_to(
        net_input.mean((1, 2, 3)).reshape(-1, *(1 for _ in shape)), (len(net_input), *shape)
    )


def test_what_cannot_be_measured_is_laid_out_as_what_is_like_it():
    """By sizes first, then as the neighbor before, or after."""

    def forward(params, net_input):
        last = convolved(params, net_input)[1]
        return {
            "start": broadcast(4, 3, 2)(net_input),
            "first": last.transpose(0, 3, 1, 2),
            "sizes": broadcast(6, 5, 9)(net_input),
            "neighbor": broadcast(8, 8, 8)(net_input),
            "last": last,
            "other sizes": broadcast(9, 6, 5)(net_input),
            "other neighbor": broadcast(8, 8, 8)(net_input),
            "ones": broadcast(1, 1, 1)(net_input),
        }

    orders = found(forward, kernels(0))
    first, last = (0, 2, 3, 1), (0, 1, 2, 3)
    assert orders == {
        "start": first,
        "first": first,
        "sizes": last,
        "neighbor": first,
        "last": last,
        "other sizes": first,
        "other neighbor": last,
        "ones": last,
    }


@pytest.mark.parametrize(
    ("input_format", "order"), [("NHWC", (0, 1, 2, 3)), ("NCHW", (0, 2, 3, 1))]
)
def test_without_any_neighbor_maps_are_as_the_input(input_format, order):
    def forward(params, net_input):
        return {"map": broadcast(5, 4, 3)(net_input), "tokens": broadcast(5, 4)(net_input)}

    orders = found(forward, input_format=input_format)
    assert orders == {"map": order, "tokens": (0, 1, 2)}


def test_the_only_axis_that_is_longer_than_one_are_the_channels():
    def forward(params, net_input):
        sizes = [(7, 1, 1), (1, 1, 7), (1, 7, 1), (7, 1), (1, 7), (7,), (1,)]
        return {str(size): broadcast(*size)(net_input) for size in sizes}

    assert found(forward) == {
        "(7, 1, 1)": (0, 2, 3, 1),
        "(1, 1, 7)": (0, 1, 2, 3),
        "(1, 7, 1)": (0, 1, 3, 2),
        "(7, 1)": (0, 2, 1),
        "(1, 7)": (0, 1, 2),
        "(7,)": (0, 1),
        "(1,)": (0, 1),
    }


def test_what_is_not_finite_tells_nothing():
    def forward(params, net_input):
        maps = net_input[:, ::2, ::3]
        huge = jnp.where(maps > 0, 3e38, -3e38)  # differences are infinite
        return {"map": maps, "nan": maps * jnp.nan, "inf": maps / 0.0, "huge": huge}

    orders = found(forward)
    assert orders == dict.fromkeys(("map", "nan", "inf", "huge"), (0, 1, 2, 3))
    measured = axes.contrasts(forward, None, ["nan", "inf", "huge"], EATS)
    for contrast in measured.values():
        np.testing.assert_array_equal(contrast, 0)


def test_formats_that_are_given_are_not_measured():
    def forward(params, net_input):
        maps = convolved(params, net_input)[1]
        return {"map": maps, "tokens": maps.reshape(len(maps), -1, 9)}

    given = {"map": "NCHW", "tokens": "NCT"}
    assert found(forward, kernels(0), data_formats=given) == {
        "map": (0, 2, 3, 1),
        "tokens": (0, 2, 1),
    }
    assert axes.turned_shapes({"map": (6, 5, 9), "fc": (3,)}, {"map": (0, 2, 3, 1)}) == {
        "map": (5, 9, 6),
        "fc": (3,),
    }


@pytest.mark.parametrize(
    ("formats", "match"),
    [
        ({"mop": "NHWC"}, r"data_formats names no layer: \['mop'\]; there are: map, tokens, fc"),
        (
            {"map": "NTC"},
            r"data_formats\['map'\] is 'NTC', but the layer has 4 axes .* NHWC or NCHW",
        ),
        ({"tokens": "NCHW"}, r"has 3 axes with the batch: NTC or NCT"),
        ({"fc": "NHWC"}, r"has 2 axes with the batch: none, as it has no positions"),
    ],
)
def test_formats_that_fit_no_layer_are_refused(formats, match):
    def forward(params, net_input):
        sizes = {"map": (5, 4, 3), "tokens": (5, 4), "fc": (3,)}
        return {name: broadcast(*size)(net_input) for name, size in sizes.items()}

    with pytest.raises(ValueError, match=match):
        found(forward, data_formats=formats)
