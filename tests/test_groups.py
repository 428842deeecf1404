"""Groups of facets that are climbed together: never cut, and not touched by others."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfvjax.ascent import lanes, visualize
from mfvjax.ascent.groups import Arrangement
from mfvjax.ascent.loop import State, start_status
from mfvjax.ascent.step import Facets
from mfvjax.objective import Diversity, Objective, unit_objective
from mfvjax.recipe import Phase, Recipe
from mfvjax.updates import MeanAbsoluteStep
from mfvjax.views import RandomView, Roll
from tests.oracles import terms as oracle
from tests.tiny_network import SIZE, tiny_network
from tests.unchecked import without_type_checks

NETWORK = tiny_network()
DEVICES = jax.devices()


def diverse(unit="fc:0", weight=1.0):
    return unit_objective(unit) + Objective((Diversity("conv1", weight),))


def arrangement(groups):
    return Arrangement.of([diverse()] * len(groups), groups)


def test_single_facets_are_taken_as_they_come():
    rows = Arrangement.of([unit_objective("fc:0")] * 5, [1, 0, 1, 2, 0])
    assert rows.together == 1
    assert rows.indices.tolist() == [0, 1, 2, 3, 4]
    assert rows.is_real.all()


def test_members_stand_side_by_side_and_short_groups_are_filled_up():
    rows = arrangement([7, 3, 7, 7, 3, 9])
    assert rows.together == 3
    assert rows.indices.tolist() == [0, 2, 3, 1, 4, 4, 5, 5, 5]
    assert rows.is_real.tolist() == [True] * 5 + [False, True] + [False] * 2
    real = rows.groups[rows.is_real].tolist()
    assert real == [0, 0, 0, 1, 1, 2]
    filling = rows.groups[~rows.is_real].tolist()
    assert len(set(filling)) == 3
    assert not set(filling) & set(real)


def test_one_joint_term_joins_all_and_no_groups_are_one():
    rows = Arrangement.of([unit_objective("fc:0"), diverse(), unit_objective("fc:1")], None)
    assert rows.together == 3
    assert set(rows.groups) == {0}


def batch_of(groups):
    count = len(groups)
    state = State(jnp.zeros(count), (), *start_status(count))
    keys = jax.random.split(jax.random.key(0), count)
    return state, Facets((jnp.arange(count),), keys, jnp.asarray(groups, jnp.int32))


def places_of(rows, num_devices, num_lanes, blocks_per_device):
    """Where each row counts: (batch, device, lane); and the group numbers that stand there."""
    of_device = blocks_per_device * rows.together
    places, standing = {}, {}
    for number, (chosen, groups, count) in enumerate(rows.batches(of_device * num_devices)):
        assert len(chosen) == of_device * num_devices
        for device, first in enumerate(range(0, len(chosen), of_device)):
            whole = batch_of(groups[first : first + of_device])
            parts = lanes.split(whole, lanes=num_lanes, together=rows.together)
            for lane, (_, facets) in enumerate(parts):
                place = number, device, lane
                standing[place] = facets.groups.tolist()
                for i, row in enumerate(np.asarray(facets.objectives[0]).tolist()):
                    position = first + lane * len(facets.groups) + i
                    if position < min(count, first + of_device):
                        assert position == first + row
                        places[int(chosen[position])] = place
    return places, standing


@pytest.mark.parametrize("seed", range(20))
def test_no_batch_device_or_lane_cuts_a_group(seed):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, rng.integers(1, 6), rng.integers(1, 14))
    rows = arrangement(groups.tolist())
    places, standing = places_of(
        rows,
        num_devices=int(rng.choice([1, 2, 8])),
        num_lanes=int(rng.choice([1, 2, 3])),
        blocks_per_device=int(rng.choice([1, 2, 3])),
    )
    assert set(places) == set(range(len(rows.indices)))
    assert sorted(rows.indices[rows.is_real]) == list(range(len(groups)))
    for group in set(groups.tolist()):
        mine = [row for row in np.flatnonzero(rows.is_real) if groups[rows.indices[row]] == group]
        (number,) = set(rows.groups[mine].tolist())
        (place,) = {places[row] for row in mine}
        # None but its members: rows that fill a batch or a lane up are no partners.
        assert standing[place].count(number) == len(mine)


def starts_of(count):
    rng = np.random.default_rng(0)
    return rng.uniform(90, 160, (count, SIZE, SIZE, 3)).astype(np.float32)


RECIPE = Recipe(
    "groups",
    (
        Phase(
            num_steps=3, update=MeanAbsoluteStep(2.0), view=(Roll(2, 2), RandomView(degrees=None))
        ),
    ),
)
GROUPS = np.array([0, 1, 1, 0, 1, 2, 2, 1, 0])
TARGETS = [diverse(f"fc:{i % 7}", 30.0) for i in range(len(GROUPS))]


def run(rows, groups, network=NETWORK, **options):
    rows = np.asarray(rows)
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(jnp.asarray(rows))
    return visualize(
        network,
        [TARGETS[row] for row in rows],
        starts_of(len(GROUPS))[rows],
        recipe=RECIPE,
        key=keys,
        groups=groups,
        **{"devices": DEVICES[:1], **options},
    )


@pytest.fixture(scope="module")
def each_alone():
    """Images, activations and final values of each group, run without the others."""
    found = {}
    for group in range(3):
        members = np.flatnonzero(np.equal(GROUPS, group))
        result = run(members, np.zeros(len(members), int))
        for i, member in enumerate(members):
            found[member] = (result.images[i], result.activations[i], result.final_activations[i])
    return [np.stack([found[i][k] for i in range(len(GROUPS))]) for k in range(3)]


def assert_same(result, expected, order=slice(None)):
    images, activations, final = expected
    # Batches of other sizes sum in another order: float noise of three steps.
    np.testing.assert_allclose(result.images, images[order], atol=2e-3)
    np.testing.assert_allclose(result.activations, activations[order], atol=1e-3)
    np.testing.assert_allclose(result.final_activations, final[order], atol=1e-3)


def network_of_its_own():
    """Programs are kept by the function that they compute: this one's are not made yet."""
    return dataclasses.replace(NETWORK, forward=lambda *args: NETWORK.forward(*args))


@pytest.mark.parametrize(
    ("num_cores", "options"),
    [
        (1, {}),
        (2, {}),  # three blocks in two lanes
        (3, {}),
        (1, {"batch_size": 4}),
        (1, {"batch_size": 8}),  # three blocks in two batches
        (1, {"devices": DEVICES[:2]}),
        (1, {"devices": DEVICES[:8]}),
    ],
    ids=lambda option: str(option)[:40],
)
def test_a_group_does_not_depend_on_the_others(each_alone, num_cores, options, monkeypatch):
    monkeypatch.setattr(lanes, "_num_cores", lambda: num_cores)
    network = network_of_its_own()
    assert_same(run(range(len(GROUPS)), GROUPS, network=network, **options), each_alone)


def test_the_order_of_facets_does_not_matter(each_alone):
    order = np.array([8, 5, 3, 1, 7, 0, 2, 6, 4])
    assert_same(run(order, GROUPS[order] + 5), each_alone, order)


def test_facets_of_a_group_part():
    """Against the same run without the term: less alike, as the slow loop says."""

    def likeness(images):
        maps = np.asarray(NETWORK.activations(images)["conv1"])
        return -oracle.diversity(maps, [0] * len(maps)).sum()

    members = np.flatnonzero(np.equal(GROUPS, 1))
    apart = run(members, None).images
    units = [unit_objective("fc:0")] * len(members)
    alone = visualize(
        NETWORK, units, starts_of(len(GROUPS))[members], recipe=RECIPE, key=0, devices=DEVICES[:1]
    ).images
    assert likeness(apart) < likeness(alone) - 0.01


def test_the_value_is_that_of_the_slow_loop(each_alone):
    images, _, final = each_alone
    found = NETWORK.activations(images)
    units = [np.asarray(found["fc"])[i, i % 7] for i in range(len(GROUPS))]
    expected = units + 30 * oracle.diversity(np.asarray(found["conv1"]), GROUPS)
    np.testing.assert_allclose(final, expected, rtol=1e-4)


@pytest.mark.parametrize("groups", [[0, 0], [0.5, 0, 1], [[0, 0, 1]]])
def test_groups_that_are_not_one_number_each_are_refused(groups):
    with pytest.raises(ValueError, match="groups must be one whole number per start image, 3 in"):
        without_type_checks(Arrangement.of.__func__)(Arrangement, [diverse()] * 3, np.array(groups))
