"""Terms of objectives against loops, their gradients against difference quotients."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from mfvjax.ascent.worth import Views, total_worth
from mfvjax.objective import (
    AlphaNorm,
    ChannelStatistics,
    CodeDistance,
    Diversity,
    Energy,
    Gram,
    LayerDistance,
    Objective,
    OwnFacet,
    PatchPrior,
    Probability,
    Reading,
    Seen,
    TotalVariation,
    channel_statistics,
    climb_probability,
    gram_matrix,
    mean_statistics,
    natural_patches,
    probability_objective,
    read_objectives,
    stack_objectives,
    statistics_objective,
    unit_objective,
)
from mfvjax.objective.places import position_weights
from mfvjax.parts import PerFacet
from mfvjax.types import LayerInfo
from tests.oracles import terms as oracle
from tests.tiny_network import SIZE, tiny_network
from tests.unchecked import without_type_checks

LAYERS = {
    "conv": LayerInfo("conv", (5, 4, 3)),
    "tokens": LayerInfo("tokens", (6, 3)),
    "fc": LayerInfo("fc", (7,)),
}
ZERO = np.array([120.0, 110.0, 100.0])
NETWORK = tiny_network()


def activations_of(count=1, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(count, *info.shape)) for name, info in LAYERS.items()}


def value_of(term, activations, row=0):
    """What a term, as users write it, makes of one image."""
    one = {name: jnp.asarray(a[row : row + 1], jnp.float32) for name, a in activations.items()}
    return float(read_objectives(one, stack_objectives([Objective((term,))], LAYERS))[0])


def slope_of(term, activations, layer):
    """Gradient of a bound term in float64 with respect to one layer of the first image."""
    bound = term.bind(LAYERS)
    with jax.enable_x64(True):
        bound = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), bound)
        seen = {name: jnp.asarray(a[0], jnp.float64) for name, a in activations.items()}
        slope = jax.grad(lambda a: bound(Seen({**seen, layer: a}, {})))
        return np.asarray(slope(seen[layer]))


# Distances of statistics.


def some_statistics(seed=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=3), rng.uniform(0.5, 2, 3)


@pytest.mark.parametrize("layer", ["conv", "tokens"])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_statistics_are_numpys(layer, is_weighted):
    activations, (means, deviations) = activations_of(), some_statistics()
    weights = None
    if is_weighted:
        weights = np.random.default_rng(4).uniform(0, 1, int(np.prod(LAYERS[layer].shape[:-1])))
        weights /= weights.sum()
    term = ChannelStatistics(layer, means, deviations, weights, 1.7)
    expected = -oracle.statistics_distance(activations[layer][0], means, deviations, weights)
    assert value_of(term, activations) == pytest.approx(1.7 * expected, rel=1e-5)
    found = channel_statistics(
        jnp.asarray(activations[layer][0], jnp.float32),
        None if weights is None else jnp.asarray(weights, jnp.float32),
    )
    for ours, theirs in zip(found, oracle.statistics(activations[layer][0], weights), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_slopes_of_statistics():
    activations, (means, deviations) = activations_of(), some_statistics()
    term = ChannelStatistics("conv", means, deviations)
    expected = oracle.slope(
        lambda a: -oracle.statistics_distance(a, means, deviations), activations["conv"][0]
    )
    # The term keeps what is to be met in float32.
    np.testing.assert_allclose(slope_of(term, activations, "conv"), expected, rtol=1e-4, atol=1e-7)


def test_statistics_of_images_are_means_over_images():
    activations = activations_of(4)["conv"]
    means, deviations = mean_statistics(activations)
    of_each = [oracle.statistics(one) for one in activations]
    np.testing.assert_allclose(means, np.mean([m for m, _ in of_each], axis=0), rtol=1e-5)
    np.testing.assert_allclose(deviations, np.mean([d for _, d in of_each], axis=0), rtol=1e-5)


def with_silent_channels(activations, *channels):
    silent = {name: a.copy() for name, a in activations.items()}
    silent["conv"][..., list(channels)] = 0
    return silent


@pytest.mark.parametrize("silent", [(), (1,), (0, 1, 2)])
def test_the_reference_itself_is_at_the_top(silent):
    reference = with_silent_channels(activations_of(), *silent)
    (term, _) = statistics_objective(reference, ["conv", "tokens"]).terms
    assert value_of(term, reference) == pytest.approx(0, abs=1e-9)
    slope = slope_of(term, reference, "conv")
    assert np.isfinite(slope).all()
    np.testing.assert_allclose(slope, 0, atol=1e-6)


@pytest.mark.parametrize("silent", [(1,), (0, 1, 2)])
def test_a_picture_with_silent_channels_can_still_climb(silent):
    reference = activations_of(seed=1)
    picture = with_silent_channels(activations_of(), *silent)
    (term,) = statistics_objective(reference, ["conv"]).terms
    slope = slope_of(term, picture, "conv")
    assert np.isfinite(slope).all()
    assert np.abs(slope[..., silent[0]]).max() > 1e-3  # toward the mean; the deviation has no side
    quiet = with_silent_channels(activations_of(), 0, 1, 2)
    assert value_of(term, quiet) == pytest.approx(-2, rel=1e-5)


def test_a_reference_image_in_a_network_is_at_the_top():
    rng = np.random.default_rng(0)
    image = jnp.asarray(rng.uniform(0, 255, (1, SIZE, SIZE, 3)), jnp.float32)
    layers = ["conv1", "conv2"]
    objective = statistics_objective(NETWORK.activations(image, layers), layers)
    stacked = stack_objectives([objective], NETWORK.layers)

    def value(image):
        return read_objectives(NETWORK.read(NETWORK.params, image), stacked)[0]

    at_top, slope = jax.value_and_grad(value)(image)
    elsewhere, other_slope = jax.value_and_grad(value)(image[:, ::-1] * 0.7)
    assert abs(float(at_top)) < 1e-10
    assert float(elsewhere) < -0.01
    assert float(jnp.abs(slope).max()) < 1e-3 * float(jnp.abs(other_slope).max())


def test_statistics_do_not_know_places():
    activations, (means, deviations) = activations_of(), some_statistics()
    term = ChannelStatistics("conv", means, deviations)
    assert value_of(term, shuffled(activations)) == pytest.approx(
        value_of(term, activations), rel=1e-5
    )


def shuffled(activations):
    flat = activations["conv"].reshape(-1, 20, 3)
    order = np.random.default_rng(9).permutation(20)
    return {**activations, "conv": flat[:, order].reshape(-1, 5, 4, 3)}


def test_only_weighted_positions_count():
    """Weights of 1/8 for the first two rows: as if the map ended there."""
    activations, (means, deviations) = activations_of(), some_statistics()
    weights = np.repeat([1 / 8, 0], [8, 12])
    term = ChannelStatistics("conv", means, deviations, weights)
    expected = -oracle.statistics_distance(activations["conv"][0, :2], means, deviations)
    assert value_of(term, activations) == pytest.approx(expected, rel=1e-5)
    made = statistics_objective(activations, ["conv", "tokens"], positions={"conv": weights})
    np.testing.assert_allclose(
        made.terms[0].means, activations["conv"][0, :2].mean((0, 1)), rtol=1e-5
    )
    assert made.terms[1].positions is None


# Codes and layers.


@pytest.mark.parametrize(
    ("layer", "where", "read"),
    [
        ("fc", "center", lambda a: a["fc"][0]),
        ("conv", "mean", lambda a: a["conv"][0].mean((0, 1))),
        ("conv", "center", lambda a: a["conv"][0, 2, 2]),
        ("tokens", (4, 0), lambda a: a["tokens"][0, 4]),
    ],
)
def test_distances_of_codes(layer, where, read):
    activations = activations_of()
    code = np.random.default_rng(2).normal(size=LAYERS[layer].num_units)
    term = CodeDistance(layer, code, where, -0.3)
    expected = ((read(activations) - code) ** 2).sum() / (code**2).sum()
    assert value_of(term, activations) == pytest.approx(0.3 * expected, rel=1e-5)
    own = CodeDistance(layer, read(activations), where)
    assert value_of(own, activations) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("layer", LAYERS)
def test_distances_of_layers(layer):
    activations = activations_of()
    target = np.random.default_rng(2).normal(size=LAYERS[layer].shape)
    expected = ((activations[layer][0] - target) ** 2).sum() / (target**2).sum()
    term = LayerDistance(layer, target, 2.0)
    assert value_of(term, activations) == pytest.approx(-2 * expected, rel=1e-5)
    slope = -2 * (activations[layer][0] - target) / (target**2).sum()
    np.testing.assert_allclose(slope_of(term, activations, layer), slope, rtol=1e-4, atol=1e-6)


# Texture.


@pytest.mark.parametrize("layer", LAYERS)
def test_the_gradient_of_energy_are_the_activations(layer):
    activations = activations_of()
    expected = 0.5 * (activations[layer] ** 2).sum()
    assert value_of(Energy(layer), activations) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(slope_of(Energy(layer), activations, layer), activations[layer][0])


@pytest.mark.parametrize("layer", ["conv", "tokens"])
def test_gram_matrices(layer):
    activations = activations_of()
    target = oracle.gram(activations_of(seed=5)[layer][0])
    found = gram_matrix(jnp.asarray(activations[layer][0], jnp.float32))
    np.testing.assert_allclose(found, oracle.gram(activations[layer][0]), rtol=1e-4, atol=1e-6)
    expected = -((oracle.gram(activations[layer][0]) - target) ** 2).mean() / (target**2).mean()
    assert value_of(Gram(layer, target), activations) == pytest.approx(expected, rel=1e-5)


def test_style_is_at_the_top_on_itself_and_knows_no_places():
    activations = activations_of()
    term = Gram("conv", oracle.gram(activations["conv"][0]))
    assert value_of(term, activations) == pytest.approx(0, abs=1e-9)
    assert value_of(term, shuffled(activations)) == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(slope_of(term, activations, "conv"), 0, atol=1e-6)
    other = activations_of(seed=1)
    assert value_of(term, other) < -0.1
    target = np.asarray(term.target, np.float32)

    def closeness(a):
        return -((oracle.gram(a) - target) ** 2).mean() / (target**2).mean()

    expected = oracle.slope(closeness, other["conv"][0])
    np.testing.assert_allclose(slope_of(term, other, "conv"), expected, rtol=1e-4, atol=1e-6)


# Diversity.


def diversity(activations, groups, weights=None, dtype=jnp.float32):
    """Value of each facet's diversity term, its weights stacked as in a batch."""
    count = len(activations)
    weights = np.ones(count) if weights is None else weights
    term = Diversity("conv", jnp.asarray(weights, dtype))
    conv = jnp.asarray(activations, dtype)[:, None]  # of one view
    images = jnp.zeros((count, 1, 2, 2, 3), dtype)
    views = Views({"conv": conv}, {}, images, images[:, 0])
    return total_worth([term], views, jnp.asarray(groups), jnp.asarray(ZERO, dtype))


GROUPS = [[0, 0, 0, 0, 0], [0, 0, 1, 1, 1], [3, 1, 3, 2, 1]]


@pytest.mark.parametrize("groups", GROUPS)
def test_diversity_against_a_double_loop(groups):
    activations = activations_of(5)["conv"]
    weights = np.array([1.0, 2.0, 0.5, 0.0, 1.0])
    found = diversity(activations, groups, weights)
    expected = weights * oracle.diversity(activations, groups)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert (np.asarray(found)[np.bincount(groups)[groups] == 1] == 0).all()


def test_slopes_of_diversity_part_both_sides():
    activations, groups = activations_of(4)["conv"], [0, 0, 0, 1]
    with jax.enable_x64(True):
        slope = jax.grad(lambda a: jnp.sum(diversity(a, groups, dtype=jnp.float64)))(
            jnp.asarray(activations, jnp.float64)
        )
    expected = oracle.slope(lambda a: oracle.diversity(a, groups).sum(), activations)
    np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-8)
    assert not slope[3].any()
    assert np.abs(slope[:3]).max(axis=(1, 2, 3)).min() > 1e-3


def test_a_silent_facet_is_like_no_other_and_has_finite_slopes():
    activations = activations_of(3)["conv"]
    activations[1] = 0
    value, slope = jax.value_and_grad(lambda a: jnp.sum(diversity(a, [0, 0, 0])))(
        jnp.asarray(activations, jnp.float32)
    )
    assert np.isfinite(slope).all()
    expected = 2 * oracle.diversity(activations[[0, 2]], [0, 0])[0] * 2 / 3
    assert float(value) == pytest.approx(expected, rel=1e-4)


# Penalties of the window.

WINDOW = np.random.default_rng(0).uniform(0, 255, (7, 6, 3))
PATCHES = np.random.default_rng(1).uniform(0, 255, (12, 3, 3, 3))
PENALTIES = {
    "alpha": (AlphaNorm(), lambda w: oracle.alpha_norm(w, ZERO, 6, 80)),
    "l2": (AlphaNorm(2.0, 30.0), lambda w: oracle.alpha_norm(w, ZERO, 2, 30)),
    "tv": (TotalVariation(), lambda w: oracle.total_variation(w, 2, 80 / 6.5)),
    "tv1": (TotalVariation(1.0, 5.0), lambda w: oracle.total_variation(w, 1, 5)),
    "patches": (PatchPrior(PATCHES, 2), lambda w: oracle.patch_distance(w, PATCHES, 2)),
}


def seen_window(window, dtype=jnp.float32):
    return Seen({}, {}, None, jnp.asarray(window, dtype), jnp.asarray(ZERO, dtype))


@pytest.mark.parametrize(("term", "expected"), PENALTIES.values(), ids=PENALTIES)
def test_penalties_and_their_slopes(term, expected):
    assert float(term(seen_window(WINDOW))) == pytest.approx(-expected(WINDOW), rel=1e-5)
    with jax.enable_x64(True):
        slope = jax.grad(lambda w: term(seen_window(w, jnp.float64)))(jnp.asarray(WINDOW))
    slopes = oracle.slope(lambda w: -expected(w), WINDOW, 1e-4)
    np.testing.assert_allclose(slope, slopes, rtol=1e-4, atol=1e-6 * np.abs(slopes).max())


@pytest.mark.parametrize("term", [AlphaNorm(1.0), TotalVariation(1.0)], ids=str)
def test_penalties_without_a_slope_at_zero_have_finite_ones(term):
    flat = np.broadcast_to(ZERO, WINDOW.shape)
    slope = jax.grad(lambda w: term(seen_window(w)))(jnp.asarray(flat, jnp.float32))
    np.testing.assert_array_equal(slope, 0)


def test_natural_patches_are_of_the_images():
    images = np.arange(2 * 9 * 7 * 1, dtype=np.float32).reshape(2, 9, 7, 1)
    patches = natural_patches(images, count=1500, size=4)
    assert patches.shape == (1500, 4, 4, 1)
    corners = {
        (i, row, column)
        for i, row, column in np.ndindex(2, 6, 4)
        if (images[i, row : row + 4, column : column + 4] == patches).all((1, 2, 3)).any()
    }
    assert len(corners) == 2 * 6 * 4  # each place was drawn
    np.testing.assert_array_equal(patches, natural_patches(images, count=1500, size=4))
    assert not np.array_equal(patches, natural_patches(images, count=1500, size=4, seed=1))


def test_patches_from_the_window_cost_nothing():
    patches = natural_patches(WINDOW[None], count=500, size=3)
    term = PatchPrior(patches, stride=1)
    assert float(term(seen_window(WINDOW))) == pytest.approx(0, abs=1e-6)
    assert float(term(seen_window(WINDOW + 1))) == pytest.approx(-1, rel=1e-3)


# Probabilities.


def facet_value(conv, centroids, own, temperature):
    energies = -((conv.mean((0, 1)) - centroids) ** 2).sum(1) / (2 * temperature)
    return energies[own] - special.logsumexp(energies)


@pytest.mark.parametrize("factor", [1.0, 0.4, -2.0])
@pytest.mark.parametrize("is_softmax", [False, True])
def test_others_weigh_beside_a_probability_as_beside_its_logarithm(factor, is_softmax):
    """Value ``w p + p sum_i w_i other_i``, gradient ``w grad p + p sum_i w_i grad other_i``."""
    activations = activations_of()
    if is_softmax:
        activations["fc"] = special.softmax(activations["fc"], axis=-1)
    centroids = np.random.default_rng(3).normal(size=(4, 3))
    code = np.random.default_rng(4).normal(size=3)
    others = (
        OwnFacet("conv", centroids, 1, 0.8, "mean", 1.5),
        CodeDistance("conv", code, "mean", 0.7),
    )
    objective = factor * unit_objective("fc:2") + Objective(others)
    made = climb_probability(objective, ["fc"] if is_softmax else [])

    def share(fc):
        return fc[2] if is_softmax else special.softmax(fc)[2]

    def beside(conv):
        distance = ((conv.mean((0, 1)) - code) ** 2).sum() / (code**2).sum()
        return 1.5 * facet_value(conv, centroids, 1, 0.8) - 0.7 * distance

    fc, conv = activations["fc"][0], activations["conv"][0]
    one = {name: jnp.asarray(a, jnp.float32) for name, a in activations.items()}
    stacked = stack_objectives([made], LAYERS)

    def value(a):
        return read_objectives(a, stacked)[0]

    found, slopes = jax.value_and_grad(value)(one)
    p = share(fc)
    assert float(found) == pytest.approx(factor * p + p * beside(conv), rel=1e-4)
    expected = factor * oracle.slope(share, fc)
    np.testing.assert_allclose(slopes["fc"][0], expected, rtol=1e-3, atol=1e-6)
    expected = p * oracle.slope(beside, conv)
    np.testing.assert_allclose(slopes["conv"][0], expected, rtol=1e-3, atol=1e-6)


def test_without_readings_there_is_no_probability_to_climb():
    objective = Objective((Energy("conv"),))
    assert climb_probability(objective, ()) is objective


def test_labels_of_probabilities_keep_the_weight():
    objective = probability_objective(unit_objective("fc:2") - 0.5 * unit_objective("conv:1"))
    assert objective.label == "probability of fc:2@center + -0.5 * probability of conv:1@center"
    assert Objective((Energy("conv", 3.0), Diversity("conv"))).label == (
        "3 * Energy in conv + Diversity in conv"
    )


def test_a_probability_of_a_softmax_layer_is_read_as_it_is():
    activations = activations_of()
    term = Probability(Reading("conv", 1, (4, 3)), is_softmax=True)
    assert value_of(term, activations) == pytest.approx(activations["conv"][0, 4, 3, 1], rel=1e-5)


# In a batch, and refused.

EVERY = [
    unit_objective("fc:1"),
    Objective((Energy("conv"), Energy("fc", 0.5))),
    Objective((Gram("conv", np.eye(3)), Gram("conv", np.ones((3, 3)), 2.0))),
    Objective((LayerDistance("fc", np.ones(7)),)) + unit_objective("conv:0"),
    statistics_objective(activations_of(2, 7), ["conv", "tokens"]),
    climb_probability(unit_objective("fc:0") + Objective((CodeDistance("fc", np.ones(7)),)), ()),
]


def test_objectives_of_all_kinds_in_one_batch_are_those_of_each():
    activations = activations_of(len(EVERY))
    rows = {name: jnp.asarray(a, jnp.float32) for name, a in activations.items()}
    together = read_objectives(rows, stack_objectives(EVERY, LAYERS))
    for i, objective in enumerate(EVERY):
        alone = {name: a[i : i + 1] for name, a in rows.items()}
        value = read_objectives(alone, stack_objectives([objective], LAYERS))[0]
        assert float(together[i]) == pytest.approx(float(value), rel=1e-5)


def bound(term):
    return stack_objectives([Objective((term,))], LAYERS)


def weights_of(*values):
    return ChannelStatistics("tokens", np.ones(3), np.ones(3), np.array(values))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: bound(ChannelStatistics("fc", np.ones(7), np.ones(7))),
            "layer 'fc' is dense: it has no positions to take statistics over; use CodeDistance",
        ),
        (
            lambda: bound(ChannelStatistics("conv", np.ones(2), np.ones(3))),
            "'conv' needs 3 weights",
        ),
        (lambda: bound(weights_of(0.5, 0.5)), r"'tokens' has 6 positions; weights of shape \(2,\)"),
        (lambda: bound(weights_of(1, 1, 0, 0, 0, 0)), "'tokens' must be 0 or more and add up to 1"),
        (lambda: bound(weights_of(2, -1, 0, 0, 0, 0)), "'tokens' must be 0 or more"),
        (lambda: statistics_objective({}, []), "statistics_objective needs at least one layer"),
        (lambda: bound(CodeDistance("fc", np.ones(6))), "'fc' needs 7 weights"),
        (lambda: bound(CodeDistance("fc", np.zeros(7))), "a code of zeros in layer 'fc'"),
        (
            lambda: without_type_checks(position_weights)("top", LAYERS["fc"]),
            "where='top' must be",
        ),
        (lambda: bound(LayerDistance("fc", np.ones(6))), r"a target of shape \(6,\) does not fit"),
        (lambda: bound(LayerDistance("fc", np.zeros(7))), "a code of zeros in layer 'fc'"),
        (lambda: bound(Gram("conv", np.eye(4))), r"needs a Gram matrix of shape \(3, 3\)"),
        (lambda: bound(Gram("conv", np.zeros((3, 3)))), "that is not zero"),
        (lambda: bound(Energy("conv9")), "no layer 'conv9'; the layers are: conv, tokens, fc"),
        (
            lambda: Objective((Energy("conv", weight=(0.0, 1.0)),)),
            "Energy: an objective is the same in all steps, .* it cannot hold a Ramp",
        ),
        (
            lambda: Objective((CodeDistance("fc", PerFacet(np.ones((2, 7)))),)),
            "CodeDistance: .* one facet's: it cannot hold a PerFacet, which is for the parts of",
        ),
        (lambda: PatchPrior(PATCHES, 0), "PatchPrior option stride=0 must be at least 1"),
        (
            lambda: PatchPrior(PATCHES)(seen_window(WINDOW[:2])),
            r"patches of shape \(3, 3, 3\) do not fit into a window of shape \(2, 6, 3\)",
        ),
        (lambda: PatchPrior(PATCHES[..., :1])(seen_window(WINDOW)), "do not fit into a window"),
        (lambda: natural_patches(WINDOW[None]), "natural_patches needs images .* at least 8x8"),
        (lambda: natural_patches(np.ones((0, 9, 9, 3))), "natural_patches needs images"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_terms_are_not_changed_by_binding():
    term = CodeDistance("fc", np.ones(7))
    term.bind(LAYERS)
    assert term.positions is None
    assert dataclasses.replace(term, weight=2.0).weight == 2
