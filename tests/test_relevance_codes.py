"""Codes of relevance against closed forms, against a shift of the layer, and in the main job."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfvjax.atlas import find
from mfvjax.facets.code_pass import Layers, read_batch
from mfvjax.facets.codes import compute_codes, read_codes, request_code
from mfvjax.facets.discover import discover_facets
from mfvjax.facets.reading import AskedUnits, as_arrays
from mfvjax.facets.relevance import layer_below
from mfvjax.facets.result import Facets
from mfvjax.network import Network
from mfvjax.objective import OwnFacet
from mfvjax.pipeline import plan_ascent, replay, run_unit
from mfvjax.pipeline.scoring import center_crops
from mfvjax.preprocess import Preprocessing
from mfvjax.recipes import UnitHeld
from mfvjax.store import load_run
from mfvjax.types import LayerInfo, Unit
from tests import small_atlas
from tests.exact_network import counted, exact_network, exact_params, slow_activations, small_images
from tests.lowering import assert_portable, export_all, shaped
from tests.tiny_network import SIZE, tiny_network
from tests.unchecked import without_type_checks

IMAGES = small_images(11)
SLOW = slow_activations(IMAGES)
EXACT = exact_network()[0]
TINY = tiny_network()
PARAMS = {name: value.astype(np.float64) for name, value in exact_params().items()}
PICTURES = np.random.default_rng(3).integers(0, 256, (9, SIZE, SIZE, 3)).astype(np.uint8)


def normalized(relevance):
    total = np.abs(relevance).sum(axis=1, keepdims=True)
    return relevance / np.where(total > 0, total, 1)


# ---- closed forms ----


def test_of_a_linear_class_it_is_activation_times_weight():
    found = compute_codes(EXACT, IMAGES, unit="classes:2", code="relevance", batch_size=4)
    assert found.layer == "hidden"
    expected = normalized(SLOW["hidden"] * PARAMS["classes"][:, 2])
    np.testing.assert_allclose(found.codes, expected, atol=1e-6)
    assert np.array_equal(found.activations, SLOW["classes"][:, 2])
    plain = compute_codes(EXACT, IMAGES, unit="classes:2", batch_size=4)
    assert not np.allclose(found.codes, normalized(plain.codes), atol=1e-2)


def test_of_tokens_it_is_read_at_the_units_place():
    found = compute_codes(EXACT, IMAGES, unit="tokens:6", code="relevance")
    assert found.layer == "map"
    columns = SLOW["map"].reshape(11, 24, 5)[np.arange(11), found.positions[:, 0]]
    expected = normalized(columns * PARAMS["tokens"][:, 6])
    np.testing.assert_allclose(found.codes, expected, atol=1e-6)


def test_a_map_below_is_summed_over_its_positions():
    """Behind a maximum, of which equal ones share the gradient."""
    found = compute_codes(EXACT, IMAGES, unit="hidden:3", code="relevance", code_layer="map")
    largest = SLOW["map"].reshape(11, 24, 5).max(axis=1)
    np.testing.assert_allclose(found.codes, normalized(largest * PARAMS["hidden"][:, 3]), atol=1e-6)


def slow_convolution(unit, place, image):
    """``sum over the window of conv1 * kernel``, by channel of conv1."""
    kernel = np.asarray(TINY.params["conv2"]["kernel"], np.float64)[..., unit]
    return (image[place[0] : place[0] + 3, place[1] : place[1] + 3] * kernel).sum(axis=(0, 1))


@pytest.mark.parametrize("unit", ["conv2:1", "conv2:4", "conv2:1@2,5"])
def test_of_a_convolution_it_is_the_window_times_the_kernel(unit):
    found = compute_codes(TINY, PICTURES, unit=unit, code="relevance", batch_size=4)
    assert found.layer == "conv1"
    below = np.asarray(TINY.activations(PICTURES, "conv1")["conv1"], np.float64)
    slow = [
        slow_convolution(found.unit.index, place, image) * (value > 0)
        for place, image, value in zip(found.positions, below, found.activations, strict=True)
    ]
    np.testing.assert_allclose(found.codes, normalized(np.array(slow)), atol=1e-6)
    if unit == "conv2:1":
        assert len({tuple(place) for place in found.positions}) > 3
        np.testing.assert_allclose(np.abs(found.codes).sum(axis=1), 1, rtol=1e-5)


def test_behind_a_closed_relu_there_is_nothing():
    found = compute_codes(TINY, PICTURES, unit="conv2:1@2,5", code="relevance")
    closed = found.activations == 0
    assert closed.any()
    assert not found.codes[closed].any()
    assert found.codes[~closed].any(axis=1).all()


# ---- any program: a residual block, compiled inside, channels first, named as a copy ----


def winding(params, net_input):
    """``a + shift`` is what goes on; what is named "a" is a copy of it with channels last."""
    kernels, shift = params["kernels"], params["shift"]

    def conv(x, name):
        return jax.lax.conv(x, kernels[name], (1, 1), "SAME")

    a = jax.nn.relu(conv(net_input.transpose(0, 3, 1, 2), "a"))
    a = a + jnp.broadcast_to(shift, a.shape)
    inner = jax.jit(lambda x: jax.nn.gelu(conv(x, "inner")))(a)
    b = jax.checkpoint(lambda x, y: jax.nn.relu(x + conv(jnp.tanh(y), "outer")))(a, inner)
    left, right = jnp.split(jax.nn.relu(conv(b, "branches")), 2, axis=1)
    left = jax.nn.relu(conv(left, "left"))
    c = jnp.concatenate([left, right], axis=1).max(axis=(2, 3))
    last = lambda x: x.transpose(0, 2, 3, 1)  # noqa: E731
    named = {"a": a, "inner": inner, "b": b, "left": left, "right": right}
    return {name: last(value) for name, value in named.items()} | {"c": c, "d": c @ kernels["d"]}


@functools.cache
def winding_network(dtype=jnp.float32):
    draw = np.random.default_rng(7).normal
    shapes = {"a": (4, 3, 3, 3), "inner": (5, 4, 1, 1), "outer": (4, 5, 3, 3), "d": (6, 3)}
    shapes |= {"branches": (6, 4, 1, 1), "left": (3, 3, 3, 3)}
    kernels = {name: jnp.asarray(draw(size=shape) / 3, dtype) for name, shape in shapes.items()}
    params = {"kernels": kernels, "shift": jnp.zeros((1, 4, 8, 8), dtype)}
    sizes = {"a": (8, 8, 4), "inner": (8, 8, 5), "b": (8, 8, 4), "left": (8, 8, 3)}
    sizes |= {"right": (8, 8, 3), "c": (6,), "d": (3,)}
    layers = {name: LayerInfo(name, shape) for name, shape in sizes.items()}
    return Network("winding", winding, params, Preprocessing((8, 8), scale=1 / 64), layers, "d")


SMALL = np.random.default_rng(4).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8)


def by_shift(network, found):
    """The gradient with respect to a shift of the layer, image by image, times what is shifted."""
    rows = []
    for row, image in enumerate(SMALL):
        net_input = network.preprocessing.to_net_input(jnp.asarray(image[None], jnp.float32))

        def value(shift, net_input=net_input, row=row):
            out = network.forward(network.params | {"shift": shift}, net_input)
            out = out[found.unit.layer][0]
            return out[*(() if found.positions is None else found.positions[row]), found.unit.index]

        gradient = np.asarray(jax.grad(value)(network.params["shift"]))[0]
        named = np.asarray(network.forward(network.params, net_input)["a"])[0]
        rows.append((named.transpose(2, 0, 1) * gradient).sum(axis=(1, 2)))
    return normalized(np.array(rows, np.float64))


@pytest.mark.parametrize("unit", ["b:2", "inner:1@3,3", "left:0", "d:1"])
def test_any_program_is_taken_apart(unit):
    network = winding_network()
    found = compute_codes(network, SMALL, unit=unit, code="relevance", code_layer="a")
    expected = by_shift(network, found)
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(found.codes, expected, atol=2e-5)


def test_in_a_narrow_type_it_is_nearly_the_same():
    whole = compute_codes(
        winding_network(), SMALL, unit="b:2@4,4", code="relevance", code_layer="a"
    )
    narrow = winding_network().with_precision("bfloat16")
    found = compute_codes(narrow, SMALL, unit="b:2@4,4", code="relevance", code_layer="a")
    difference = np.abs(found.codes - whole.codes).max()
    assert 0 < difference < 0.05


# ---- the layer below ----


@pytest.mark.parametrize(
    ("layer", "below"),
    [("inner", "a"), ("b", "a"), ("left", "b"), ("right", "b"), ("c", "b"), ("d", "c")],
)
def test_the_layer_below_is_where_all_comes_through(layer, below):
    """Not a branch beside it, not one that a shortcut passes, and not without a product between."""
    assert layer_below(winding_network(), layer) == below


def test_layers_below_of_the_bundled_networks():
    compact, resnet = Network.load("compact"), Network.load("compact-resnet")
    assert [layer_below(compact, name) for name in ("conv2", "conv3", "conv5", "pool5", "fc6")] == [
        "norm1", "norm2", "conv4", "conv4", "pool5",
    ]  # fmt: skip
    assert [layer_below(compact, name) for name in ("fc8", "prob")] == ["fc7", "fc7"]
    found = [layer_below(resnet, name) for name in ("outer4", "res4", "conv4", "conv5", "fc6")]
    assert found == ["inner4", "conv4", "res3", "res4", "pool5"]
    probed = compact.with_directions("conv3", np.eye(160)[:3])
    assert layer_below(probed, "probes") == "conv3"
    assert layer_below(probed, "conv4") == "conv3"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unit": "conv1:0"}, "no layer below 'conv1' could be its units' code of relevance"),
        ({"unit": "conv1:0", "code_layer": "conv2"}, "'conv1' is not made from 'conv2'"),
        ({"unit": "conv2:0", "code_layer": "conv2"}, "'conv2' is not made from 'conv2'"),
        ({"unit": "conv2:0", "code_layer": "fc7"}, "code_layer='fc7' is no layer"),
    ],
)
def test_no_layer_below(options, message):
    with pytest.raises(ValueError, match=message):
        compute_codes(TINY, PICTURES, code="relevance", **options)


def test_an_unknown_code():
    message = """code must be "activation" or "relevance", got 'lrp'"""
    with pytest.raises(ValueError, match=message):
        without_type_checks(request_code)(TINY, "conv2:0", None, code="lrp")
    with pytest.raises(ValueError, match=message):
        without_type_checks(discover_facets)(TINY, PICTURES, unit="conv2:0", code="lrp")


# ---- batches, units, programs, the cache ----


def test_many_units_in_one_pass_are_the_same_as_one_by_one():
    units = ["classes:1", "tokens:2", "classes:3", "tokens:4@9,0"]
    network, traces = exact_network()
    together = compute_codes(network, IMAGES, units=units, code="relevance", batch_size=4)
    for unit, found in zip(units, together, strict=True):
        alone = compute_codes(network, IMAGES, unit=unit, code="relevance", batch_size=11)
        np.testing.assert_allclose(found.codes, alone.codes, atol=1e-6)
    before = len(traces)
    compute_codes(network, IMAGES[:3], unit="classes:0", code="relevance", batch_size=11)
    assert len(traces) == before


def test_codes_of_pictures_in_memory_are_the_same():
    floats = PICTURES.astype(np.float32)
    for unit, layer in ((Unit("conv2", 4, (3, 3)), "conv1"), (Unit("fc", 2), "conv2")):
        found = compute_codes(TINY, PICTURES, unit=unit, code="relevance", code_layer=layer)
        again = read_codes(TINY, floats, unit, layer, "relevance")
        np.testing.assert_allclose(again, found.codes, atol=1e-6)
    plain = read_codes(TINY, floats, Unit("fc", 2), "conv2", "activation")
    np.testing.assert_allclose(plain, compute_codes(TINY, PICTURES, unit="fc:2").codes, rtol=1e-5)


def test_the_cache_tells_codes_apart(tmp_path):
    network, traces = exact_network()
    options = {"unit": "classes:2", "code_layer": "hidden", "cache_dir": tmp_path}
    plain = compute_codes(network, IMAGES, **options)
    relevance = compute_codes(network, IMAGES, code="relevance", **options)
    assert len(list(tmp_path.iterdir())) == 2
    assert not np.allclose(plain.codes, relevance.codes)
    before = len(traces)
    again = compute_codes(network, IMAGES, code="relevance", **options)
    assert np.array_equal(again.codes, relevance.codes)
    assert len(traces) == before


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_pass_lowers_for_every_platform(precision):
    network = TINY.with_precision(precision)
    number = jax.ShapeDtypeStruct((2,), jnp.int32)
    asked = {
        Layers("conv2", "conv1", "relevance"): AskedUnits(number, number),
        Layers("fc", "conv2", "relevance"): AskedUnits(number, number),
    }
    programs = export_all(
        read_batch,
        shaped(network.params),
        jax.ShapeDtypeStruct((4, SIZE, SIZE, 3), jnp.uint8),
        asked,
        forward=network.forward,
        preprocessing=network.preprocessing,
    )
    assert_portable(programs)
    wanted = {"float32": "f32", "bfloat16": "bf16"}[precision]
    for program in programs.values():
        maps = [product for product in program.products if "convolution" in product.name]
        assert {kind for product in maps for kind in product.types} == {wanted}
        assert all(loop.ends == "counted" for loop in program.loops)
        assert {loop.length for loop in program.loops} == {2}  # one unit's gradients at a time


# ---- the main job ----

JOB = {"unit": "fc:1", "num_facets": 2, "num_mean_images": 5, "code": "relevance"}


@functools.cache
def pool(kind="striped"):
    rng = np.random.default_rng(5)
    row, column = np.mgrid[:SIZE, :SIZE] / SIZE
    images = []
    for index in range(24):
        wave = np.sin(6 * np.pi * (row if index % 2 else column))[..., None] * [90, -60, 40]
        images.append((128 + wave + rng.normal(0, 15, (SIZE, SIZE, 3))).clip(0, 255))
    return np.array(images).astype(np.uint8)


def test_the_main_job_in_codes_of_relevance():
    run = run_unit(TINY, pool(), **JOB, recipe=small_atlas.recipe(), hold=1.0)
    assert run.options["discovery"]["code"] == "relevance"
    assert run.network["code_layer"] == "conv2"
    facets = discover_facets(TINY, pool(), **JOB)
    assert facets.code == "relevance"
    assert facets.options["code"] == "relevance"
    stripes = np.arange(24) % 2
    share = np.mean(facets.assignment == stripes)
    assert max(share, 1 - share) > 0.75
    assert np.array_equal(run.real.assignment, facets.assignment)
    # Own recall is told in the codes that the facets were found in.
    shown = center_crops(run.shown.images, (SIZE, SIZE))
    codes = read_codes(TINY, shown, Unit("fc", 1), "conv2", "relevance")
    nearest = ((codes[:, None] - facets.code_centroids) ** 2).sum(-1).argmin(1)
    assert run.scores["facet_recall"].tolist() == (nearest == np.arange(2)).tolist()
    again = replay(run, network=TINY, images=pool(), recipe=small_atlas.recipe())
    np.testing.assert_array_equal(again.shown.images, run.shown.images)


@pytest.mark.parametrize("unit", ["fc:1", "conv2:1"])
def test_what_holds_a_picture_are_the_activations_of_its_nearest_images(unit):
    facets = discover_facets(TINY, pool(), **{**JOB, "unit": unit})
    rows = np.where(facets.nearest >= 0, facets.indices[facets.nearest], 0)
    patches = pool()[rows]
    if unit == "conv2:1":
        size = facets.mean_images.shape[1:3]
        patches = patches[:, :, : size[0], : size[1]]
    plan = plan_ascent(
        TINY, facets, objective=UnitHeld(hold=1.0), references=patches, seed=0, controls=False
    )
    terms = [term for term in plan.objectives[0].terms if isinstance(term, OwnFacet)]
    assert [term.layer for term in terms] == [facets.code_layer]
    if unit == "fc:1":
        seen = np.asarray(TINY.activations(patches.reshape(-1, SIZE, SIZE, 3), "conv2")["conv2"])
        means = seen.mean(axis=(1, 2)).reshape(2, 5, -1).mean(axis=1)
        np.testing.assert_allclose(terms[0].centroids, means, rtol=1e-4, atol=1e-5)
    assert np.abs(terms[0].centroids - facets.code_centroids).max() > 1e-3
    with pytest.raises(ValueError, match="facets found by relevance are held by their nearest"):
        plan_ascent(TINY, facets, objective=UnitHeld(hold=1.0), seed=0)


def test_facets_of_before_were_of_activations():
    facets = discover_facets(TINY, pool(), **{**JOB, "code": "activation"})
    assert facets.code == "activation"
    options = {name: value for name, value in facets.options.items() if name != "code"}
    assert dataclasses.replace(facets, options=options).code == "activation"


def test_an_atlas_in_codes_of_relevance(small_pool, tmp_path, monkeypatch):
    """The same facets as alone, however its units are divided between passes."""
    network = small_atlas.shared_network()
    kept = {}
    monkeypatch.setattr(find, "_RELEVANT_UNITS", 2)
    found = find.assemble_facets

    def noting(network, source, codes, grouping, *, options):
        facets = found(network, source, codes, grouping, options=options)
        kept[str(codes.unit)] = facets
        return facets

    monkeypatch.setattr(find, "assemble_facets", noting)
    atlas = small_atlas.build(tmp_path / "atlas", small_pool, code="relevance")
    assert len(atlas.made) == 4
    run = load_run(tmp_path / "atlas" / "units" / "fc-0001")
    assert run.options["discovery"]["code"] == "relevance"
    source = small_pool / "class_1"
    alone = discover_facets(
        network, source, unit="fc:1", num_facets=2, num_mean_images=5, code="relevance"
    )
    assert isinstance(kept["fc:1"], Facets)
    assert kept["fc:1"].code == "relevance"
    np.testing.assert_array_equal(kept["fc:1"].assignment, alone.assignment)
    np.testing.assert_allclose(kept["fc:1"].code_centroids, alone.code_centroids, atol=1e-5)


def test_an_atlas_refuses_an_unknown_code(small_pool, tmp_path):
    with pytest.raises(ValueError, match='code must be "activation" or "relevance"'):
        small_atlas.build(tmp_path / "atlas", small_pool, code="lrp")
    assert not (tmp_path / "atlas").exists()


def test_requests_of_one_code_are_read_together():
    requests = [request_code(EXACT, f"classes:{i}", None, code="relevance") for i in range(3)]
    assert {request.layers for request in requests} == {Layers("classes", "hidden", "relevance")}
    assert as_arrays([request.unit for request in requests]).channels.tolist() == [0, 1, 2]
    assert len(counted("inside")) == 12
