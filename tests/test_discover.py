"""Facets of a small network's units, found in pictures whose facets are known; saved, loaded."""

import copy
import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import adjusted_rand_score

from mfvjax.facets import compute_codes, top_images
from mfvjax.facets.discover import discover_facets
from mfvjax.facets.grouping import GroupOptions, canonical_order, homogeneity
from mfvjax.facets.result import DamagedFacetsError, Facets
from mfvjax.images import open_images
from mfvjax.images.sources import SelectedSource
from tests.tiny_network import SIZE, tiny_network
from tests.unchecked import without_type_checks

COUNTS = (24, 20, 16)
COLORS = np.array([[200, 60, 50], [60, 180, 70], [50, 70, 210]])
UNIT = "fc:3"


@pytest.fixture(scope="module")
def network():
    return tiny_network()


@pytest.fixture(scope="module")
def pictures():
    """Blotches of three colors, in no order, and the color of each."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(3), COUNTS))
    blotch = rng.normal(size=(len(labels), SIZE, SIZE, 1)) * 12
    levels = COLORS[labels][:, None, None, :] + blotch + rng.normal(size=(len(labels), 1, 1, 3)) * 8
    return levels.clip(0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def facets(network, pictures):
    return discover_facets(network, pictures[0], unit=UNIT, num_facets=3, num_mean_images=5)


def test_the_known_facets(facets, pictures):
    images, labels = pictures
    assert adjusted_rand_score(labels, facets.assignment) == 1
    assert facets.sizes.tolist() == sorted(COUNTS, reverse=True)
    assert facets.num_facets == 3
    for facet in range(3):
        members = facets.members(facet)
        np.testing.assert_allclose(facets.centroids[facet], facets.map[members].mean(0), atol=1e-4)
        assert set(facets.nearest[facet]) <= set(members)
        mean = images[facets.nearest[facet]].astype(float).mean(0)
        np.testing.assert_allclose(facets.mean_images[facet], mean, atol=1e-3)
        color = COLORS[labels[members[0]]]
        np.testing.assert_allclose(facets.mean_images[facet].mean((0, 1)), color, atol=12)


def test_what_goes_with_them(facets, network, pictures):
    codes = compute_codes(network, pictures[0], unit=UNIT)
    np.testing.assert_array_equal(facets.activations, codes.activations)
    assert facets.names == codes.names
    assert facets.code_layer == codes.layer
    for facet in range(3):
        members = codes.codes[facets.members(facet)].astype(np.float64)
        np.testing.assert_allclose(facets.code_centroids[facet], members.mean(0), rtol=1e-5)
    assert (facets.stability > 0.95).all()
    assert facets.summary["agreement"] > 0.95
    assert (facets.homogeneity > facets.summary["homogeneity"]).all()
    assert facets.options["num_facets"] == 3
    assert facets.options["seed"] == 0


def test_a_selection_of_images_is_a_source_of_its_own(facets, network, pictures):
    """Indices are into the selection, though it holds the last images of another source."""
    images, _ = pictures
    others = np.full_like(images[:4], 90)
    source = SelectedSource(
        open_images(np.concatenate([others, images])), np.arange(4, 4 + len(images))
    )
    found = discover_facets(network, source, unit=UNIT, num_facets=3, num_mean_images=5)
    np.testing.assert_array_equal(found.indices, np.arange(len(images)))
    np.testing.assert_array_equal(found.assignment, facets.assignment)
    np.testing.assert_allclose(found.mean_images, facets.mean_images, atol=1e-3)


def test_homogeneity_is_the_mean_cosine_of_pairs():
    rng = np.random.default_rng(0)
    codes = np.maximum(rng.normal(size=(9, 5)), 0).astype(np.float32)
    codes[1] = 0
    assignment = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2])
    found = homogeneity(codes, assignment)
    for cluster in (0, 1):
        members = codes[assignment == cluster].astype(np.float64)
        pairs = [
            a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12)
            for i, a in enumerate(members)
            for j, b in enumerate(members)
            if i != j
        ]
        assert found[cluster] == pytest.approx(np.mean(pairs), rel=1e-5)
    assert np.isnan(found[2])


def test_the_order_of_the_images_changes_nothing(facets, network, pictures):
    order = np.random.default_rng(1).permutation(len(pictures[0]))
    shuffled = discover_facets(
        network, pictures[0][order], unit=UNIT, num_facets=3, num_mean_images=5
    )
    # The network may round by place in the batch, and descent amplifies that.
    np.testing.assert_array_equal(shuffled.assignment, facets.assignment[order])
    np.testing.assert_array_equal(order[shuffled.nearest], facets.nearest)
    np.testing.assert_array_equal(shuffled.mean_images, facets.mean_images)
    size = np.abs(facets.map).max()
    np.testing.assert_allclose(shuffled.map, facets.map[order], atol=0.02 * size)
    np.testing.assert_allclose(shuffled.stability, facets.stability, atol=1e-6)


def test_same_seed_same_facets_other_seed_others(network, pictures):
    """Ten clusters where there are three: which ten is a matter of seed."""

    def found(seed):
        return discover_facets(network, pictures[0], unit=UNIT, seed=seed, num_mean_images=3)

    first, again = found(0), found(0)
    for field in ("map", "assignment", "nearest", "mean_images", "stability"):
        np.testing.assert_array_equal(getattr(first, field), getattr(again, field))
    others = [found(seed) for seed in (1, 2, 3)]
    assert any((other.assignment != first.assignment).any() for other in others)


def test_canonical_order():
    codes = np.array([[1.0, 1], [2, 2], [0, 3], [2, 2], [9, 9]], np.float32)
    activations = np.array([5.0, 5, 5, 5, 7], np.float32)
    order = canonical_order(codes, activations, ["e", "b", "c", "a", "d"])
    np.testing.assert_array_equal(order, [4, 0, 2, 3, 1])


def test_facets_are_found_without_their_number(network, pictures):
    found = discover_facets(
        network, pictures[0], unit=UNIT, num_facets="auto", num_mean_images=5, max_facets=6
    )
    assert found.num_facets == 3
    assert adjusted_rand_score(pictures[1], found.assignment) == 1
    assert found.summary["num_facets"]["num_facets"] == 3
    one_color = pictures[0][pictures[1] == 0]
    found = discover_facets(
        network, one_color, unit=UNIT, num_facets="auto", num_mean_images=5, max_facets=6
    )
    assert found.sizes.tolist() == [COUNTS[0]]


def test_in_pca_space(network, pictures):
    found = discover_facets(
        network, pictures[0], unit=UNIT, num_facets=3, num_mean_images=5, cluster_space="pca"
    )
    assert adjusted_rand_score(pictures[1], found.assignment) == 1
    assert found.centroids.shape == (3, 2)


def test_by_scikit_learn(network, pictures):
    found = discover_facets(
        network, pictures[0], unit=UNIT, num_facets=3, num_mean_images=5, method="scikit-learn"
    )
    assert adjusted_rand_score(pictures[1], found.assignment) == 1


def test_units_of_a_map(network, pictures):
    """Top images only, read where the channel is highest, averaged as patches of its field."""
    images = pictures[0]
    found = discover_facets(
        network, images, unit="conv2:4", num_facets=2, num_mean_images=4, top_count=30
    )
    (top,) = top_images(network, images, units=["conv2:4"], count=30)
    assert sorted(found.indices.tolist()) == sorted(top.indices.tolist())
    assert found.names == tuple(str(index) for index in found.indices)
    by_image = dict(zip(top.indices.tolist(), top.positions.tolist(), strict=True))
    assert found.positions.tolist() == [by_image[index] for index in found.indices.tolist()]
    assert found.options["top_count"] == 30
    size = network.receptive_field("conv2:4").size
    assert found.mean_images.shape == (2, *size, 3)
    # By hand: the mean of the patches, each pixel over the images that have it.
    canvas = np.pad(
        images.astype(float), ((0, 0), *[(SIZE, SIZE)] * 2, (0, 0)), constant_values=np.nan
    )
    for facet in range(2):
        patches = []
        for row in found.nearest[facet]:
            unit = f"conv2:4@{found.positions[row][0]},{found.positions[row][1]}"
            box = network.receptive_field(unit)
            rows = slice(box.top + SIZE, box.bottom + SIZE)
            columns = slice(box.left + SIZE, box.right + SIZE)
            patches.append(canvas[found.indices[row], rows, columns])
        np.testing.assert_allclose(found.mean_images[facet], np.nanmean(patches, 0), atol=1e-3)


@pytest.fixture
def rectified(network, pictures):
    """The network with conv2 so low that only twelve of the pictures activate its channel 4."""
    values = np.sort(
        np.asarray(network.activations(pictures[0], "conv2")["conv2"])[..., 4].max((1, 2))
    )

    def forward(params, net_input):
        out = dict(network.forward(params, net_input))
        return {**out, "conv2": jax.nn.relu(out["conv2"] - (values[-13] + values[-12]) / 2)}

    return dataclasses.replace(network, forward=forward)


@pytest.mark.parametrize("top", [{"top_count": 30}, {"top_fraction": 0.5}])
def test_images_that_do_not_activate_a_unit_have_no_facets(top, rectified, pictures):
    options = {"unit": "conv2:4", "num_facets": 2, **top}
    found = discover_facets(rectified, pictures[0], num_mean_images=4, **options)
    assert len(found.indices) == 12
    assert (found.activations > 0).all()
    with pytest.raises(ValueError, match=r"only 12 images activate conv2:4, .*; at least 15"):
        discover_facets(rectified, pictures[0], num_mean_images=15, **options)


def test_top_fraction(network, pictures):
    found = discover_facets(
        network, pictures[0], unit=UNIT, num_facets=2, num_mean_images=4, top_fraction=0.3
    )
    assert len(found.indices) == 18
    every = compute_codes(network, pictures[0], unit=UNIT).activations
    assert found.activations.min() >= np.sort(every)[-18]


def test_small_facets_average_all_their_members(network, pictures):
    images, labels = pictures
    rows = np.concatenate([np.flatnonzero(labels == 0)[:20], np.flatnonzero(labels == 2)[:3]])
    found = discover_facets(
        network, images[rows], unit=UNIT, num_facets=2, num_mean_images=5, cluster_space="pca"
    )
    assert found.sizes.tolist() == [20, 3]
    assert found.nearest[1, 3:].tolist() == [-1, -1]
    np.testing.assert_allclose(found.mean_images[1], images[rows[20:]].mean(0), atol=1e-3)


def test_unreadable_images_are_told_of(network, pictures, tmp_path):
    for index, image in enumerate(pictures[0][:30]):
        Image.fromarray(image).save(tmp_path / f"{index:02d}.png")
    (tmp_path / "07.png").write_bytes(b"no picture")
    found = discover_facets(network, tmp_path, unit=UNIT, num_facets=3, num_mean_images=4)
    assert [image.name for image in found.skipped] == ["07.png"]
    assert len(found.names) == len(found.assignment) == 29
    assert 7 not in found.indices


def as_dict(facets):
    values = dataclasses.asdict(facets)
    arrays = {k: v for k, v in values.items() if isinstance(v, np.ndarray)}
    rest = {k: v for k, v in values.items() if k not in arrays}
    return arrays, json.loads(json.dumps(rest))


@pytest.mark.parametrize("unit", [UNIT, "conv2:4"])
def test_saved_and_loaded(unit, facets, network, pictures, tmp_path):
    if unit != UNIT:
        facets = discover_facets(
            network, pictures[0], unit=unit, num_facets="auto", num_mean_images=4, max_facets=6
        )
    path = tmp_path / "facets.npz"
    path.write_bytes(b"an older file")
    facets.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["facets.npz"]
    arrays, rest = as_dict(facets)
    other_arrays, other_rest = as_dict(Facets.load(path))
    assert other_rest == rest
    assert set(other_arrays) == set(arrays)
    for name, values in arrays.items():
        np.testing.assert_array_equal(other_arrays[name], values)
        assert other_arrays[name].dtype == values.dtype


def test_damaged_files(facets, tmp_path):
    path = tmp_path / "facets.npz"
    facets.save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 40).tolist():
        path.write_bytes(whole[:place])
        with pytest.raises(DamagedFacetsError, match=r"facets\.npz' does not hold facets, or is"):
            Facets.load(path)
    for place in rng.integers(30, len(whole) * 9 // 10, 40).tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            loaded = Facets.load(path)
        except DamagedFacetsError:
            continue
        # A byte that says nothing about the values, such as a file's date.
        for name, values in as_dict(facets)[0].items():
            np.testing.assert_array_equal(getattr(loaded, name), values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"assignment": None}, "it holds the arrays"),
        ({"map": np.zeros((5, 2), np.float32)}, "'map' has the shape \\(5, 2\\)"),
        ({"sizes": np.array([24, 21, 15])}, "sizes are not those of the assignment"),
        ({"about": '{"format": "other", "version": 1}'}, "its format is 'other' version 1"),
        ({"about": "no text"}, "damaged"),
    ],
)
def test_files_of_other_things(change, message, facets, tmp_path):
    path = tmp_path / "facets.npz"
    facets.save(path)
    with np.load(path) as archive:
        arrays = {**archive, **change}
    np.savez(path, **{name: values for name, values in arrays.items() if values is not None})
    with pytest.raises(DamagedFacetsError, match=message):
        Facets.load(path)


def test_no_file_and_no_folder(facets, tmp_path):
    with pytest.raises(FileNotFoundError):
        Facets.load(tmp_path / "none.npz")
    with pytest.raises(FileNotFoundError):
        facets.save(tmp_path / "none" / "facets.npz")


def test_a_failed_save_leaves_the_old_file(facets, tmp_path):
    path = tmp_path / "facets.npz"
    facets.save(path)
    before = path.read_bytes()
    broken = copy.copy(facets)
    object.__setattr__(broken, "activations", np.array([object()] * 60))
    with pytest.raises(ValueError, match="Object arrays"):
        broken.save(path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_facets": 61}, "num_facets=61 needs as many images, there are 60"),
        ({"num_mean_images": 61}, "num_mean_images=61 needs as many images, there are 60"),
        ({"top_count": 9}, "num_facets=10 needs as many images, there are 9"),
        ({"unit": "fc:7"}, "fc"),
        ({"unit": "fc9:1"}, "fc9"),
        ({"unit": "three"}, "unit 'three' is not of the form"),
        ({"num_facets": 0}, 'num_facets must be "auto" or at least 1, got 0'),
        ({"perplexity": 0.5}, "perplexity above 1, got 50 and 0.5"),
    ],
)
def test_option_errors(options, message, network, pictures):
    with pytest.raises(ValueError, match=message):
        discover_facets(network, pictures[0], **{"unit": UNIT, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_facets": "many"}, "num_facets must be \"auto\" or at least 1, got 'many'"),
        ({"cluster_space": "code"}, 'cluster_space must be "map" or "pca", got \'code\''),
        ({"num_mean_images": 0}, "must be at least 1 and max_facets at least 2, got 0, 20 and 10"),
        ({"max_facets": 1}, "max_facets at least 2, got 15, 20 and 1"),
    ],
)
def test_group_option_errors(options, message):
    with pytest.raises(ValueError, match=message):
        without_type_checks(GroupOptions)(**options)


def test_images_without_facets(network, pictures, tmp_path):
    few = {"unit": UNIT, "num_facets": 1, "num_mean_images": 1}
    with pytest.raises(ValueError, match=r"a map needs at least 5 images, got 1 image$"):
        discover_facets(network, pictures[0][:1], **few)
    with pytest.raises(ValueError, match="all 20 images have the same code"):
        discover_facets(network, pictures[0][[0] * 20], **few)
    with pytest.raises(
        ValueError, match="3 clusters need as many images that differ; of 20 images 2"
    ):
        discover_facets(network, pictures[0][[0] * 10 + [1] * 10], **{**few, "num_facets": 3})
    with pytest.raises(FileNotFoundError, match="nowhere"):
        discover_facets(network, tmp_path / "nowhere", unit=UNIT)
    assert jnp.asarray(pictures[0]).dtype == jnp.uint8
