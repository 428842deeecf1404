"""Parts: what of them is compiled, what is a number of the step, and what is each facet's own."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import keystr

from mfvjax.ascent import visualize
from mfvjax.ascent.plan import MAX_CHUNK, PhaseValues
from mfvjax.objective import (
    AlphaNorm,
    ChannelStatistics,
    CodeDistance,
    Diversity,
    Energy,
    Gram,
    LayerDistance,
    PatchPrior,
    Reading,
    TotalVariation,
)
from mfvjax.parametrizations import Fourier, FourierPhase, Pixels, mean_magnitude
from mfvjax.parts import Number, PerFacet, is_value, map_parts, number, numbers_of, part, static
from mfvjax.priors.projections import Blur, Clip, Decay, SmallContribution, SmallNorm
from mfvjax.priors.tv_projection import TV
from mfvjax.recipe import Phase, Recipe
from mfvjax.schedule import Ramp
from mfvjax.updates import Given, GradientBlur, Margin, MeanAbsoluteStep, Optax
from mfvjax.views import Crop, RandomView, Roll
from tests.tiny_network import SIZE, tiny_network

NETWORK = tiny_network()
ONE_DEVICE = jax.devices()[:1]

PARTS = [
    Pixels(),
    Fourier(1.5),
    FourierPhase(4.0),
    Crop(),
    RandomView(),
    RandomView(degrees=None, noise=2.0),
    Roll(),
    MeanAbsoluteStep((4, 2), margin_px=3),
    MeanAbsoluteStep(1.0),
    Margin(2),
    GradientBlur(1.0),
    Optax(optax.adam, {"learning_rate": 0.1, "b1": (0.9, 0.5)}),
    Given(optax.sgd(0.1)),
    Clip(),
    Decay(0.1),
    Blur(1.0, 4),
    SmallNorm(50),
    SmallContribution(50),
    TV(1.0),
    AlphaNorm(),
    TotalVariation(),
    PatchPrior(7.0),
    Reading("fc", 3),
    CodeDistance("fc"),
    LayerDistance("fc"),
    ChannelStatistics("conv2"),
    Energy("fc"),
    Gram("conv2"),
    Diversity("conv2"),
]


def names(one):
    return type(one).__name__


@pytest.mark.parametrize("one", PARTS, ids=names)
def test_a_part_is_a_pytree(one):
    leaves, structure = jax.tree.flatten(one, is_leaf=is_value)
    again = jax.tree.unflatten(structure, leaves)
    assert type(again) is type(one)
    assert again == one
    doubled = jax.tree.map(lambda leaf: leaf, one, is_leaf=is_value)
    assert doubled == one
    for field in dataclasses.fields(one):
        in_leaves = not field.metadata.get("static")
        changed = jax.tree.unflatten(structure, [object()] * len(leaves))
        is_same = getattr(changed, field.name) == getattr(one, field.name)
        is_empty = getattr(one, field.name) is None or getattr(one, field.name) == {}
        assert is_same == (not in_leaves or is_empty), field.name


@pytest.mark.parametrize("one", PARTS, ids=names)
def test_a_part_is_frozen(one):
    for field in dataclasses.fields(one):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(one, field.name, 1.0)


def structure_of(tree):
    return jax.tree.structure(tree, is_leaf=is_value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TV(1.0), TV(2.0)),
        (TV(1.0), TV((0.5, 3.0))),
        (Crop(0.3), Crop(0.1, uniform=1)),
        (Optax(optax.adam, {"b1": 0.9}), Optax(optax.adam, {"b1": Ramp(0.9, 0.5)})),
        (AlphaNorm(6), AlphaNorm(2, weight=5.0)),
    ],
)
def test_numbers_are_not_compiled_in(one, other):
    assert structure_of(one) == structure_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TV(1.0), TV(1.0, num_sweeps=50)),
        (TV(1.0), TV(1.0, rule="anisotropic")),
        (RandomView(), RandomView(degrees=None)),
        (Fourier(), Fourier(decorrelated=False)),
        (MeanAbsoluteStep(1.0), MeanAbsoluteStep(1.0, margin_px=0)),
        (Optax(optax.adam), Optax(optax.sgd)),
        (Optax(optax.adam, {"b1": 0.9}), Optax(optax.adam, {"b2": 0.9})),
        (Energy("conv1"), Energy("conv2")),
        (PatchPrior(1.0), PatchPrior(1.0, stride=2)),
    ],
)
def test_static_fields_are(one, other):
    assert structure_of(one) != structure_of(other)
    hash(structure_of(one))  # programs are kept by it


def test_leaves_are_named_after_their_fields():
    paths = [keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(Blur(1.0, 4))]
    assert paths == [".sigma", ".every"]


@part
class Everything:
    """A field of each kind."""

    plain: Number = number()
    ramp: Number = number(default=(1.0, 3.0))
    nothing: Number | None = number(default=None)
    array: Any = None
    own: Any = None
    kind: str = static(default="a", choices=("a", "b"))

    def __call__(self, window, step):
        return window


def test_a_phase_is_taken_apart_into_numbers_arrays_and_each_facets_own():
    array, own = np.arange(6).reshape(2, 3), np.arange(20.0).reshape(5, 4)
    one = Everything(2, (1, 5), None, array, PerFacet(own))
    phase = Phase(
        num_steps=5,
        update=MeanAbsoluteStep(Ramp(8, 4)),
        projections=(one, Clip(np.float64(7), jnp.float32(99))),
    )
    values = PhaseValues.of(phase)
    kinds = values.plan.kinds
    assert (kinds.count("step"), kinds.count("constant"), kinds.count("facet")) == (7, 1, 1)
    assert values.steps.dtype == np.float32
    np.testing.assert_array_equal(values.steps[:, 0], np.arange(5))
    np.testing.assert_array_equal(values.constants[0], array)
    assert values.constants[0].dtype == jnp.float32
    np.testing.assert_array_equal(values.per_facet[0], own)
    for i in range(5):
        parts = values.plan.parts(
            jnp.asarray(values.steps[i]), values.constants, [jnp.asarray(own[3])]
        )
        assert parts.updates[0].size == 8 - i
        found = parts.projections[0]
        assert (found.plain, found.ramp, found.nothing, found.kind) == (2, 1 + i, None, "a")
        np.testing.assert_array_equal(found.own, own[3])
        np.testing.assert_array_equal(found.array, array)
        assert (parts.projections[1].low, parts.projections[1].high) == (7, 99)
    rows = values.chunk(3, 2)
    assert rows.shape == (MAX_CHUNK, values.steps.shape[1])
    np.testing.assert_array_equal(rows[:2], values.steps[3:])
    assert not rows[2:].any()


def test_numbers_are_found_wherever_a_part_holds_them():
    tree = (Blur((1, 2)), [Clip(), {"not": "a part"}], RandomView(noise=None))
    found = [name for name, _, _ in numbers_of(tree)]
    assert found == [
        "Blur option sigma",
        "Blur option every",
        "Clip option low",
        "Clip option high",
        "RandomView option smallest",
        "RandomView option largest",
        "RandomView option degrees",
    ]
    doubled = map_parts(tree, lambda one: Clip(1, 2) if isinstance(one, Clip) else one)
    assert doubled[1][0] == Clip(1, 2)
    assert doubled[0] is not tree[0]
    assert doubled[0] == tree[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Everything(1.0, kind="c"), "Everything option kind='c' must be one of a, b"),
        (lambda: Everything(float("nan")), "Everything option plain=nan must be a finite number"),
        (lambda: Everything("2 px"), "plain='2 px' must be a finite number, a pair .start, end.,"),
        (lambda: Everything((1, 2, 3)), r"plain=\(1, 2, 3\) must be a finite number"),
        (lambda: Everything(None, (0, float("inf"))), "ramp end must be a finite number"),
        (lambda: Everything(PerFacet(np.ones(3))), "plain=PerFacet.* must be a finite number"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_missing_field_is_pythons_own_error():
    with pytest.raises(TypeError, match="plain"):
        Everything()


def test_own_checks_see_settled_fields():
    @part
    class Even:
        count: Number = number()

        def __post_init__(self):
            if self.count % 2:
                raise ValueError(f"{self.count} is odd")

    assert Even(4).count == 4.0
    with pytest.raises(ValueError, match=r"3\.0 is odd"):
        Even(3)


def starts_of(count):
    rng = np.random.default_rng(0)
    return rng.uniform(90, 160, (count, SIZE, SIZE, 3)).astype(np.float32)


def phase_recipe(magnitude):
    phase = Phase(
        num_steps=3,
        update=MeanAbsoluteStep(0.2),
        view=Roll(2, 2),
        projections=(),
        parametrization=FourierPhase(magnitude, contrast=0.5),
    )
    return Recipe("phases", (phase,))


def run(magnitude, facets, count=3, **options):
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(jnp.arange(count))
    rows = np.asarray(facets)
    return visualize(
        NETWORK,
        [f"fc:{i}" for i in rows],
        starts_of(count)[rows],
        recipe=phase_recipe(magnitude),
        key=keys[rows],
        devices=ONE_DEVICE,
        **options,
    )


def test_each_facet_has_its_own_array():
    noise = np.random.default_rng(1).uniform(0, 255, (3, SIZE, SIZE, 3))
    flat = np.stack([mean_magnitude([image], size=(SIZE, SIZE)) for image in noise])
    # Noise that is white along rows, and ever redder.
    columns = np.arange(1, 14).reshape(13, 1)
    magnitudes = np.stack([one / columns**power for power, one in enumerate(flat)])
    together = run(PerFacet(magnitudes), range(3)).images
    for i in range(3):
        alone = run(magnitudes[i], [i]).images[0]
        # Another program for a batch of one: float noise of three steps.
        np.testing.assert_allclose(together[i], alone, atol=0.05)
        other = run(magnitudes[(i + 1) % 3], [i]).images[0]
        assert np.abs(together[i] - other).mean() > 2
    # The second batch begins with the third facet, and is filled up with it.
    halves = run(PerFacet(magnitudes), range(3), batch_size=2).images
    np.testing.assert_allclose(halves, together, atol=0.05)
    order = [2, 0, 1]
    shuffled = run(PerFacet(magnitudes[order]), order).images
    np.testing.assert_allclose(shuffled, together[order], atol=0.05)


def test_too_few_entries_are_counted():
    few = PerFacet(np.ones((2, SIZE, SIZE // 2 + 1, 3), np.float32))
    with pytest.raises(ValueError, match=r"arrays for 2 facets \(PerFacet\), and there are at lea"):
        run(few, range(3))


def test_a_magnitude_of_another_size_is_named_by_the_run():
    with pytest.raises(ValueError, match=r"FourierPhase: magnitude of shape .* canvas of 24x24"):
        run(np.ones((20, 11, 3), np.float32), [0])
