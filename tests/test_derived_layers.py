"""Layers added to a network: directions and encoders as units, by index and by name."""

import dataclasses
import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from sklearn.linear_model import LogisticRegression

from mfvjax.ascent.relu import relu_is_known
from mfvjax.facets.codes import compute_codes
from mfvjax.facets.top import top_images
from mfvjax.images import SelectedSource
from mfvjax.judging import check_judge, judge_run
from mfvjax.judging.classes import match_class
from mfvjax.judging.judge import embedding_layer
from mfvjax.network import Network
from mfvjax.network.derived import DerivedForward, without_added
from mfvjax.network.directions import Directions, load_directions, save_directions
from mfvjax.pipeline import run_unit
from mfvjax.pipeline.depths import depth_layers
from mfvjax.pipeline.sources import PaintedSource
from mfvjax.report.view import page_view
from mfvjax.types import Unit
from tests import small_atlas
from tests.exact_network import counted, exact_network, slow_activations, small_images
from tests.tiny_network import tiny_network

IMAGES = small_images(11)
SLOW = slow_activations(IMAGES)
EXACT = exact_network()[0]
DRAW = np.random.default_rng(2)
WIDTHS = {"map": 5, "tokens": 7, "hidden": 6, "classes": 4}
VECTORS = {name: DRAW.integers(-3, 4, (3, d)).astype(np.float32) for name, d in WIDTHS.items()}
NAMES = ("stripes", "red dots", "sky")
BIAS = np.array([5.0, -2.0, 0.0], np.float32)


@functools.cache
def probed(layer="map", **options):
    return EXACT.with_directions(layer, VECTORS[layer], names=NAMES, bias=BIAS, **options)


# ---- values and facts ----


@pytest.mark.parametrize("layer", list(WIDTHS))
def test_units_are_inner_products_at_every_position(layer):
    network = probed(layer)
    found = np.asarray(network.activations(IMAGES, "probes")["probes"])
    expected = np.zeros((*SLOW[layer].shape[:-1], 3))
    for place in np.ndindex(expected.shape):
        expected[place] = sum(SLOW[layer][place[:-1]] * VECTORS[layer][place[-1]]) + BIAS[place[-1]]
    assert np.array_equal(found, expected)
    info, base = network.layers["probes"], network.layers[layer]
    assert info.shape == (*base.shape[:-1], 3)
    assert info.receptive_field == base.receptive_field
    assert (info.base, info.origin, info.unit_names) == (layer, layer, NAMES)
    names = list(network.layers)
    assert names[names.index(layer) + 1] == "probes"
    others = np.asarray(network.activations(IMAGES, "classes")["classes"])
    assert np.array_equal(others, SLOW["classes"])


def test_without_a_bias():
    network = EXACT.with_directions("hidden", VECTORS["hidden"])
    found = np.asarray(network.activations(IMAGES, "probes")["probes"])
    assert np.array_equal(found, SLOW["hidden"] @ VECTORS["hidden"].T)
    assert network.layers["probes"].unit_names is None


def sparse(params, activation):
    """A sparse autoencoder's encoder."""
    return jax.nn.relu(params["w"] @ (activation - params["center"]) + params["b"])


SPARSE = {
    "w": DRAW.integers(-2, 3, (9, 5)).astype(np.float32),
    "center": np.array([1, 0, 2, 1, 0], np.float32),
    "b": np.array([3, 0, -4, 2, 1, -2, 0, 5, -9], np.float32),
}


def strongest_two(params, activation):
    latents = params @ activation
    values, which = jax.lax.top_k(latents, 2)
    return jnp.zeros_like(latents).at[which].set(values)


def test_an_encoder_is_applied_at_every_position():
    network = EXACT.with_encoder("map", sparse, SPARSE, name="sae")
    expected = np.maximum((SLOW["map"] - SPARSE["center"]) @ SPARSE["w"].T + SPARSE["b"], 0)
    assert np.array_equal(network.activations(IMAGES, "sae")["sae"], expected)
    assert network.layers["sae"].shape == (4, 6, 9)

    network = EXACT.with_encoder("tokens", strongest_two, jnp.asarray(DRAW.normal(size=(9, 7))))
    found = np.asarray(network.activations(IMAGES, "encoder")["encoder"])
    assert found.shape == (11, 24, 9)
    assert ((found != 0).sum(axis=-1) <= 2).all()


def test_layers_can_be_added_to_added_ones():
    network = probed().with_encoder("probes", lambda params, a: params * a, jnp.float32(2))
    assert network.layers["encoder"].base == "map"
    found = network.activations(IMAGES, ["probes", "encoder"])
    assert np.array_equal(found["encoder"], 2 * np.asarray(found["probes"]))
    assert without_added(network).layers == EXACT.layers
    assert without_added(network).params is EXACT.params
    assert network.code_layer("encoder") == "map"


def test_a_closed_latent_can_be_opened():
    """Behind an encoder's ReLU, as behind any other, an ascent finds a gradient."""
    network = tiny_network().with_encoder("conv2", lambda w, a: jax.nn.relu(w @ a), jnp.eye(6))

    def read(images):
        return network.read(network.params, images)

    assert relu_is_known(read, jnp.zeros((1, 24, 24, 3)), ["encoder"]) == {"encoder": True}


# ---- names ----


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("probes:stripes", Unit("probes", 0, (2, 3))),
        ("probes:red dots", Unit("probes", 1, (2, 3))),
        ("probes:red dots@1,4", Unit("probes", 1, (1, 4))),
        ("probes:2", Unit("probes", 2, (2, 3))),
        (" probes:sky ", Unit("probes", 2, (2, 3))),
    ],
)
def test_units_are_asked_for_by_name(text, unit):
    assert probed().resolve(text) == unit


def test_a_name_may_look_like_a_unit():
    network = EXACT.with_directions("hidden", VECTORS["hidden"], names=("a:3", "b@x", "map:0"))
    assert [network.resolve(f"probes:{n}").index for n in ("a:3", "b@x", "map:0")] == [0, 1, 2]
    assert network.resolve("map:0") == Unit("map", 0, (2, 3))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("probes:strips", "layer 'probes' has no unit called 'strips'; near it are stripes"),
        ("probes:RED DOTS", "no unit called 'RED DOTS'; near it are red dots"),
        ("probes:x", "no unit called 'x'; its units are stripes, red dots, sky"),
        ("probes:3", "has units probes:0 to probes:2"),
        ("probes:sky@9,9", "has rows 0 to 3"),
        ("map:stripes", "is not of the form LAYER:INDEX"),
    ],
)
def test_names_that_are_not_there(text, message):
    with pytest.raises(ValueError, match=message):
        probed().resolve(text)


def test_a_name_of_two_units():
    network = EXACT.with_directions("hidden", VECTORS["hidden"], names=("dog", "cat", "dog"))
    assert network.resolve("probes:cat") == Unit("probes", 1)
    with pytest.raises(ValueError, match="probes:dog may be probes:0, probes:2; give the index"):
        network.resolve("probes:dog")


# ---- codes, classes, statistics, judges ----


@pytest.mark.parametrize("unit", [0, 1, 2])
def test_the_code_is_the_layers_own_column_at_the_units_place(unit):
    found = compute_codes(probed(), IMAGES, unit=f"probes:{NAMES[unit]}", batch_size=4)
    assert (found.unit, found.layer) == (Unit("probes", unit), "map")
    values = SLOW["map"] @ VECTORS["map"][unit] + BIAS[unit]
    for row, (maps, value) in enumerate(zip(SLOW["map"], values, strict=True)):
        best = max(counted("inside"), key=lambda at: value[at])
        assert tuple(found.positions[row]) == best
        assert found.activations[row] == value[best]
        assert np.array_equal(found.codes[row], maps[best])


def test_codes_of_dense_and_token_layers_and_in_an_added_layer():
    dense = compute_codes(probed("hidden"), IMAGES, unit="probes:1")
    assert dense.layer == "hidden"
    assert np.array_equal(dense.codes, SLOW["hidden"])
    tokens = compute_codes(probed("tokens"), IMAGES, unit="probes:1@9,0")
    assert np.array_equal(tokens.codes, SLOW["tokens"][:, 9])
    latents = compute_codes(probed(), IMAGES, unit="map:1@2,4", code_layer="probes")
    assert np.array_equal(latents.codes, SLOW["map"][:, 2, 4] @ VECTORS["map"].T + BIAS)
    pooled = compute_codes(probed(), IMAGES, unit="probes:1@2,4", code_layer="hidden")
    assert np.array_equal(pooled.codes, SLOW["hidden"])


def test_relevance_of_a_direction_is_activation_times_vector():
    found = compute_codes(probed(), IMAGES, unit="probes:1@2,3", code="relevance")
    expected = SLOW["map"][:, 2, 3] * VECTORS["map"][1]
    total = np.abs(expected).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.codes, expected / np.where(total > 0, total, 1), atol=1e-6)


def test_an_added_layer_is_none_of_classes():
    """Not even with as many units as there are classes, at the place of the logits."""
    vectors = np.eye(4, dtype=np.float32)
    exact = exact_network(class_code_layer=None)[0]
    last = exact.code_layer("classes")
    network = exact.with_directions("classes", vectors)
    assert not network.is_class_layer("probes")
    assert network.is_class_layer("classes")
    assert network.code_layer("probes") == "classes"
    assert network.code_layer("classes") == last
    before = exact.with_directions(last, np.ones((4, exact.layers[last].num_units), np.float32))
    assert before.code_layer("classes") == last
    headless = dataclasses.replace(before, logits_layer="", name="headless")
    assert embedding_layer(headless.with_directions("classes", vectors, name="more")) == "classes"


@functools.cache
def compact():
    return Network.load("compact")


def test_statistics_are_of_the_networks_own_layers():
    network = compact().with_directions("conv5", np.eye(128)[:3]).with_directions(
        "fc7", np.eye(256)[:3], name="dense"
    )  # fmt: skip
    own = depth_layers(compact(), Unit("conv5", 0, (3, 3)), (96, 96), num_layers=6)
    assert depth_layers(network, Unit("probes", 0, (3, 3)), (96, 96), num_layers=6) == own
    own = depth_layers(compact(), Unit("fc8", 0), (96, 96), num_layers=6)
    assert depth_layers(network, Unit("dense", 0), (96, 96), num_layers=6) == own
    assert depth_layers(network, Unit("fc8", 0), (96, 96), num_layers=6) == own
    assert "fc7" in own[1]


def test_a_judge_is_another_network():
    network = compact().with_directions("conv5", np.eye(128)[:3])
    assert network.model_fingerprint == compact().fingerprint != network.fingerprint
    with pytest.raises(ValueError, match="is the network that the pictures were made for"):
        check_judge(compact(), None, own_fingerprint=network.model_fingerprint)
    with pytest.raises(ValueError, match="is the network that the pictures were made for"):
        check_judge(network, None, own_fingerprint=compact().model_fingerprint)


# ---- what a network is ----


def test_the_fingerprint_knows_all_that_was_added():
    vectors = VECTORS["hidden"]
    made = {
        EXACT.fingerprint,
        EXACT.with_directions("hidden", vectors).fingerprint,
        EXACT.with_directions("hidden", vectors + 1).fingerprint,
        EXACT.with_directions("hidden", vectors, bias=BIAS).fingerprint,
        EXACT.with_directions("hidden", vectors, name="other").fingerprint,
        EXACT.with_encoder("hidden", lambda v, a: v @ a, vectors, name="probes").fingerprint,
        EXACT.with_encoder("hidden", lambda v, a: v @ a + 1, vectors, name="probes").fingerprint,
        EXACT.with_encoder("hidden", lambda v, a: v @ a + 2, vectors, name="probes").fingerprint,
    }
    assert len(made) == 8
    again = EXACT.with_directions("hidden", vectors.copy(), names=NAMES)
    assert again.fingerprint in made
    assert again.model_fingerprint == EXACT.fingerprint


def test_other_vectors_share_compiled_programs():
    one, other = (EXACT.with_directions("map", VECTORS["map"] + i) for i in range(2))
    assert one.forward == other.forward
    assert hash(one.forward) == hash(other.forward)
    assert isinstance(one.forward, DerivedForward)


def test_precision():
    network = compact().with_directions("conv4", DRAW.normal(size=(2, 160)), bias=np.ones(2))
    images = DRAW.uniform(0, 255, (2, 96, 96, 3)).astype(np.float32)
    whole = np.asarray(network.activations(images, "probes")["probes"])
    narrow = network.with_precision("bfloat16")
    found = np.asarray(narrow.activations(images, "probes")["probes"])
    assert found.dtype == np.float32
    assert 0 < np.abs(found - whole).max() < 0.1 * np.abs(whole).max()
    # Not only what is read is of that precision, but also the reading.
    read = np.asarray(narrow.activations(images, "conv4")["conv4"], np.float64)
    exact = read @ np.asarray(network.params["added"]["vectors"], np.float64).T + 1
    assert np.abs(found - exact).max() > 1e-3 * np.abs(exact).max()
    assert narrow.fingerprint != network.fingerprint
    assert narrow.with_precision("float32").fingerprint == network.fingerprint
    first = compact().with_precision("bfloat16").with_directions(
        "conv4", network.params["added"]["vectors"], bias=np.ones(2)
    )  # fmt: skip
    assert first.fingerprint == narrow.fingerprint


def test_another_input_size():
    network = compact().with_directions("conv4", DRAW.normal(size=(2, 160)), names=("a", "b"))
    network = network.with_directions("fc7", DRAW.normal(size=(2, 256)), name="dense")
    larger = network.with_input_size((120, 96), truncate=True)
    assert larger.layers["probes"].shape == (9, 7, 2)
    assert larger.layers["probes"].unit_names == ("a", "b")
    assert "dense" not in larger.layers
    assert larger.input_size == (120, 96)
    assert larger.resolve("probes:b") == Unit("probes", 1, (4, 3))
    own = compact().with_input_size((120, 96), truncate=True)
    assert larger.model_fingerprint == own.fingerprint
    again = larger.with_input_size((96, 96), truncate=True)
    images = DRAW.uniform(0, 255, (1, 96, 96, 3)).astype(np.float32)
    found, before = (one.activations(images, "probes")["probes"] for one in (again, network))
    np.testing.assert_array_equal(found, before)
    assert network.with_input_size((96, 96)) is network


def test_it_is_saved_in_two_files(tmp_path):
    with pytest.raises(ValueError, match="has layers that were added to it: save it as it was bef"):
        compact().with_directions("conv4", np.ones((2, 160))).save(tmp_path / "net.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_users_own_module():
    network = tiny_network().with_directions("conv2", np.eye(6)[:2])
    field = tiny_network().layers["conv2"].receptive_field
    assert network.layers["probes"].receptive_field == field
    assert "receptive_field" not in repr(network.layers["probes"])
    assert network.receptive_field("probes:1@0,0").size == field.size


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("nowhere", np.ones((2, 5))), {}, "no layer 'nowhere'; the layers are: map, tokens"),
        (
            ("map", np.ones((2, 6))),
            {},
            "vectors have 6 components, but layer 'map' of 'exact' has 5",
        ),
        (("map", np.ones((0, 5))), {}, r"\(n, d\), not of shape \(0, 5\)"),
        (("map", np.ones(5)), {}, r"\(n, d\), not of shape \(5,\)"),
        (("map", np.ones((2, 5), int)), {}, "vectors must be floats, not int64"),
        (("map", np.full((2, 5), np.nan)), {}, "vectors are not finite"),
        (("map", np.full((2, 5), 1e60)), {}, "vectors are not finite in float32"),
        (("map", np.eye(5) * [1, 1, 1, 0, 1]), {}, "vector 3 is zero, which is no direction"),
        (("map", np.ones((2, 5))), {"names": ["a"]}, "1 names for 2 units; give one name per unit"),
        (("map", np.ones((2, 5))), {"names": ["a", " b"]}, "' b' is no name"),
        (("map", np.ones((2, 5))), {"names": ["a", ""]}, "'' is no name"),
        (("map", np.ones((2, 5))), {"names": ["a", "12"]}, "'12' would be read as an index"),
        (("map", np.ones((2, 5))), {"names": ["a", "b@1,2"]}, "'b@1,2' would be read as an index"),
        (("map", np.ones((2, 5))), {"bias": np.ones(3)}, r"bias of shape \(3,\) for 2 vectors"),
        (("map", np.ones((2, 5))), {"bias": [np.inf, 0.0]}, "bias are not finite"),
        (
            ("map", np.ones((2, 5))),
            {"name": "hidden"},
            "has a layer 'hidden' already; give another",
        ),
        (("map", np.ones((2, 5))), {"name": "a:b"}, "'a:b' cannot be the name of a layer"),
        (("map", np.ones((2, 5))), {"name": ""}, "'' cannot be the name of a layer"),
    ],
)
def test_directions_that_do_not_fit(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        EXACT.with_directions(*arguments, **options)


@pytest.mark.parametrize(
    ("encode", "message"),
    [
        (
            lambda p, a: jnp.ones((3, 4)) @ a,
            "'sae' cannot take a vector of the 5 channels of layer 'm",
        ),
        (lambda p, a: {"z": a}, "must make one vector of floats .* it made dict"),
        (lambda p, a: a[:, None] * a, "cannot take a vector of the 5 channels"),
        (lambda p, a: jnp.outer(a, a), r"it made float32 of shape \(5, 5\)"),
        (lambda p, a: a.argmax(), r"it made int32 of shape \(\)"),
    ],
)
def test_encoders_that_do_not_fit(encode, message):
    with pytest.raises(ValueError, match=message):
        EXACT.with_encoder("map", encode, {}, name="sae")
    with pytest.raises(ValueError, match="2 names for 5 units"):
        EXACT.with_encoder("map", lambda p, a: a, {}, names=["a", "b"])


# ---- files ----


def test_a_file_gives_back_what_was_saved(tmp_path):
    whole = Directions("map", VECTORS["map"], NAMES, BIAS, "found")
    save_directions(whole, tmp_path / "whole.safetensors")
    again = load_directions(tmp_path / "whole.safetensors")
    assert (again.layer, again.names, again.name) == ("map", NAMES, "found")
    assert np.array_equal(again.vectors, whole.vectors)
    assert np.array_equal(again.bias, BIAS)
    plain = Directions("map", VECTORS["map"].astype(np.float64))
    save_directions(plain, tmp_path / "plain.safetensors")
    again = load_directions(tmp_path / "plain.safetensors")
    assert (again.names, again.bias, again.name) == (None, None, "probes")
    assert again.vectors.dtype == np.float32
    assert again.on(EXACT).fingerprint == plain.on(EXACT).fingerprint
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("tensors", "about", "message"),
    [
        ({"vectors": np.ones((2, 5))}, None, "its metadata lack 'layer'"),
        (
            {"W_dec": np.ones((2, 5))},
            {"layer": "map"},
            r"it holds the tensors \['W_dec'\]; there must",
        ),
        (
            {"vectors": np.ones((2, 5)), "biases": np.ones(2)},
            {"layer": "map"},
            "'biases', 'vectors'",
        ),
        ({"vectors": np.ones((2, 5))}, {"layer": "map", "names": "a, b"}, "Expecting value"),
        (
            {"vectors": np.ones((2, 5))},
            {"layer": "map", "names": '{"a": 1}'},
            "are not a list of texts",
        ),
        (
            {"vectors": np.ones((2, 5))},
            {"layer": "map", "names": "[1, 2]"},
            "are not a list of texts",
        ),
        ({"vectors": np.ones((2, 5))}, {"layer": "map", "names": '["a"]'}, "1 names for 2 units"),
        ({"vectors": np.zeros((2, 5))}, {"layer": "map"}, "vector 0 is zero"),
        ({"vectors": np.ones((2, 5), np.int32)}, {"layer": "map"}, "must be floats, not int32"),
    ],
)
def test_files_that_hold_something_else(tmp_path, tensors, about, message):
    file = tmp_path / "d.safetensors"
    safetensors.numpy.save_file(tensors, file, about)
    with pytest.raises(ValueError, match=message) as caught:
        load_directions(file)
    assert str(file) in str(caught.value)


def test_damaged_and_missing_files(tmp_path):
    file = tmp_path / "d.safetensors"
    with pytest.raises(FileNotFoundError, match=r"no file of directions .*d\.safetensors"):
        load_directions(file)
    save_directions(Directions("map", VECTORS["map"]), file)
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(ValueError, match=r"directions .*d\.safetensors: "):
        load_directions(file)
    file.write_bytes(pickle.dumps({"vectors": VECTORS["map"]}))
    with pytest.raises(ValueError, match=r"directions .*d\.safetensors: "):
        load_directions(file)


# ---- what it is for ----


@functools.cache
def linear_probe():
    """A probe of one facet of a class, learned on half of its pictures in a middle layer."""
    source = PaintedSource("bell pepper")
    layer, facet = "conv4", 2
    images = np.stack([source.read(i) for i in range(len(source))])
    seen = np.asarray(compact().activations(images, layer)[layer]).mean(axis=(1, 2))
    half = np.arange(len(source)) % 2 == 0
    learned = LogisticRegression(max_iter=1000).fit(seen[half], source.truth[half] == facet)
    directions = Directions(layer, learned.coef_, ("green",), learned.intercept_)
    return directions, SelectedSource(source, np.flatnonzero(~half)), source.truth[~half] == facet


def test_a_probe_finds_the_pictures_of_its_facet():
    directions, source, is_facet = linear_probe()
    network = directions.on(compact())
    (top,) = top_images(network, source, units=["probes:green"], count=int(is_facet.sum()))
    share = is_facet[top.indices].mean()
    assert share >= 0.9 > 3 * is_facet.mean()


@pytest.mark.slow  # the command line does it in test_cli_directions
def test_the_main_job_for_a_probe():
    """By its name, with the recipe of its size; the pictures raise it above real ones."""
    directions, source, _ = linear_probe()
    network = directions.on(compact())
    options = {"num_facets": 1, "num_mean_images": 5, "step_fraction": 0.15, "controls": False}
    run = run_unit(network, source, unit="probes:green", top_count=20, **options)
    assert (run.unit.partition("@")[0], run.title) == ("probes:0", "green")
    assert run.options["recipe"].startswith("facet-statistics")
    assert run.network["code_layer"] == run.network["base"] == "conv4"
    (real,) = compute_codes(network, source, units=["probes:green"])
    assert run.scores["activation"][0] > np.median(real.activations)
    assert run.scores["activation"][0] > run.controls.activations[0]  # the start
    # Of no class: neither here nor to a judge.
    judge = Network.load("compact-resnet")
    named_as_one = dataclasses.replace(run, title="pumpkin")
    assert match_class(named_as_one, judge).index is None
    assert page_view(run)["title"] == "green"
    assert all(facet["mistaken"] is None for facet in page_view(run)["facets"])
    assert judge_run(run, judge).class_index is None
    with pytest.raises(ValueError, match="is the network that the pictures were made for"):
        judge_run(run, compact())


@pytest.mark.slow  # the command line makes one in test_cli_directions
def test_an_atlas_of_directions(small_pool, tmp_path):
    network = small_atlas.shared_network().with_directions(
        "conv2", np.abs(np.random.default_rng(1).normal(size=(3, 6))), names=("a b", "c", "d")
    )
    options = {"network": network, "top_count": 20, "hold": None}
    atlas = small_atlas.build(tmp_path / "atlas", small_pool, ["probes:c", "probes:0"], **options)
    assert atlas.made == ("probes:1", "probes:0")
    page = atlas.index.read_text()
    assert "a b" in page
    assert "probes:1" in page
    again = small_atlas.build(tmp_path / "atlas", small_pool, ["probes:1", "probes:a b"], **options)
    assert again.made == ()
    with pytest.raises(ValueError, match="no unit called 'e'; its units are a b, c, d"):
        small_atlas.build(tmp_path / "other", small_pool, ["probes:e"], **options)
