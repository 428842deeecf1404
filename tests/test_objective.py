"""Objectives against plain loops over terms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from mfvjax.objective import (
    Objective,
    OwnFacet,
    channel_objective,
    direction_objective,
    probability_objective,
    read_objectives,
    stack_objectives,
    unit_objective,
)
from mfvjax.types import LayerInfo, Unit

LAYERS = {
    "conv": LayerInfo("conv", (5, 4, 3)),
    "tokens": LayerInfo("tokens", (6, 3)),
    "fc": LayerInfo("fc", (7,)),
}


@pytest.fixture
def activations():
    rng = np.random.default_rng(0)
    return {
        name: jnp.asarray(rng.normal(size=(5, *info.shape)), jnp.float32)
        for name, info in LAYERS.items()
    }


OBJECTIVES = [
    unit_objective("fc:2"),
    unit_objective("conv:1"),
    channel_objective("conv", 2) + 0.5 * unit_objective("fc:6"),
    unit_objective(Unit("conv", 0, (4, 3))) - direction_objective("conv", [1, 2, 3], where=(0, 1)),
    direction_objective("tokens", [1.0, 0, -1], where=(5, 0)) * 2 + channel_objective("tokens", 1),
]


def expected(activations, softmax=False):
    activations = {k: np.asarray(v, np.float64) for k, v in activations.items()}
    if softmax:
        activations = {k: special.softmax(v, -1) for k, v in activations.items()}
    conv, tokens, fc = (activations[name] for name in ("conv", "tokens", "fc"))
    return [
        fc[0, 2],
        conv[1, 2, 2, 1],
        conv[2, :, :, 2].mean() + 0.5 * fc[2, 6],
        conv[3, 4, 3, 0] - (conv[3, 0, 1] * [1, 2, 3]).sum(),
        2 * (tokens[4, 5, 0] - tokens[4, 5, 2]) + tokens[4, :, 1].mean(),
    ]


@pytest.mark.parametrize("probability", [False, True])
def test_every_kind_of_objective(activations, probability):
    objectives = [probability_objective(o) for o in OBJECTIVES] if probability else OBJECTIVES
    readouts = stack_objectives(objectives, LAYERS)
    values = read_objectives(activations, readouts)
    np.testing.assert_allclose(values, expected(activations, probability), rtol=1e-5, atol=1e-6)


def test_facet_terms_against_distances(activations):
    rng = np.random.default_rng(1)
    three, two = rng.normal(size=(3, 3)), rng.normal(size=(2, 3))
    terms = [
        OwnFacet("conv", three, 2, 0.7, "mean", 1.5),
        OwnFacet("conv", two, 0, 2.0, (1, 3)),
    ]
    objectives = [
        Objective((terms[0],)),
        Objective((terms[1],)) + unit_objective("conv:0"),
        unit_objective("fc:0"),
    ]
    first = {name: a[:3] for name, a in activations.items()}
    values = read_objectives(first, stack_objectives(objectives, LAYERS))
    conv = np.asarray(first["conv"], np.float64)

    def log_probability(code, centroids, own, temperature):
        energies = -((code - centroids) ** 2).sum(1) / (2 * temperature)
        return energies[own] - special.logsumexp(energies)

    expected = [
        1.5 * log_probability(conv[0].mean((0, 1)), three, 2, 0.7),
        log_probability(conv[1, 1, 3], two, 0, 2.0) + conv[1, 2, 2, 0],
        np.asarray(first["fc"])[2, 0],
    ]
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-5)


def test_a_facet_term_lets_go_of_a_code_that_is_its_own():
    centroids = np.eye(2, 7) * 3
    readouts = stack_objectives([Objective((OwnFacet("fc", centroids, 0, 0.5),))], LAYERS)
    slope = jax.grad(lambda fc: read_objectives({"fc": fc}, readouts)[0])
    inside = slope(jnp.asarray(2 * centroids[:1] - centroids[1:], jnp.float32))
    outside = slope(jnp.asarray(centroids[1:], jnp.float32))
    assert float(jnp.abs(inside).max()) < 1e-6
    np.testing.assert_allclose(outside[0, :2], [6, -6], rtol=1e-3)


def test_an_objective_reads_only_its_own_image(activations):
    readouts = stack_objectives(OBJECTIVES, LAYERS)
    jacobian = jax.jacobian(lambda fc: read_objectives({**activations, "fc": fc}, readouts))
    slopes = np.asarray(jacobian(activations["fc"]))
    for i in range(5):
        others = np.delete(slopes[i], i, axis=0)
        assert not others.any()
    assert slopes[2, 2].tolist() == [0, 0, 0, 0, 0, 0, 0.5]


def test_operators_leave_their_operands_alone():
    a, b = unit_objective("fc:1"), unit_objective("fc:2")
    before = (a.terms, b.terms)
    _ = 2 * a - b
    assert (a.terms, b.terms) == before
    assert a.terms[0].weight == b.terms[0].weight == 1


def test_shapes_do_not_depend_on_the_units():
    def shapes(unit):
        readouts = stack_objectives([unit_objective(unit)], LAYERS)
        return jax.tree.map(jnp.shape, readouts)

    assert shapes("conv:0") == shapes("conv:2@1,1")


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (unit_objective("fc9:0"), "no layer 'fc9'; the layers are: conv, tokens, fc"),
        (unit_objective("fc:7"), "layer 'fc' has no unit 7: its units are 0 to 6"),
        (unit_objective("conv:0@5,0"), "no position 5,0: rows go from 0 to 4, columns from 0 to 3"),
        (direction_objective("fc", [1, 2]), r"'fc' needs 7 weights, not an array of shape \(2,\)"),
        (Objective(()), "objective 0 has no terms"),
        (Objective((OwnFacet("fc", np.eye(2, 7), 2, 1.0),)), "no facet 2: there are 2"),
        (Objective((OwnFacet("fc", np.eye(2, 7), 0, 0.0),)), "temperature=0.0 of a facet term"),
    ],
)
def test_errors_name_what_exists(objective, message):
    with pytest.raises(ValueError, match=message):
        stack_objectives([objective], LAYERS)
