"""Codes, top images, patches and facets of images of any number of channels and range."""

import dataclasses

import numpy as np
import pytest

from mfvjax.domain import GREY, RGB, Domain
from mfvjax.facets.code_cache import CodeCache
from mfvjax.facets.codes import compute_codes
from mfvjax.facets.discover import discover_facets
from mfvjax.facets.means import mean_image, pick
from mfvjax.facets.patches import extract_patches, load_patches, mean_color
from mfvjax.facets.result import DamagedFacetsError, Facets
from mfvjax.facets.top import top_images
from mfvjax.images import ArraySource, ResizeRule, open_images
from mfvjax.preprocess import Preprocessing
from mfvjax.types import PixelBox, Unit
from tests.domain_networks import (
    BANDS,
    DIGITS,
    DOMAINS,
    SIZE,
    SOUNDS,
    noise_images,
    slow_activations,
    small_network,
    two_kinds,
)

EVERY = pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS)


@EVERY
def test_codes_are_those_of_the_slow_way(domain):
    network, images = small_network(domain), noise_images(domain, 7)
    slow = slow_activations(network, images)
    codes = compute_codes(network, images, unit="classes:1", batch_size=3)
    np.testing.assert_allclose(codes.codes, slow["hidden"], atol=1e-5)
    np.testing.assert_allclose(codes.activations, slow["classes"][:, 1], atol=1e-5)
    column = compute_codes(network, images, unit="map:2@1,3")
    np.testing.assert_allclose(column.codes, slow["map"][:, 1, 3], atol=1e-5)


@EVERY
def test_top_images_are_those_of_the_slow_way(domain):
    network, images = small_network(domain), noise_images(domain, 9)
    slow = slow_activations(network, images)["map"][..., 3]
    for place in np.ndindex(slow.shape[1:]):
        box = network.receptive_field(Unit("map", 3, place))
        if box != box.clip(network.input_size):
            slow[:, *place] = -np.inf  # at the border nothing counts
    assert np.isfinite(slow[0]).any()
    (top,) = top_images(network, images, units=["map:3"], count=4, batch_size=4)
    order = np.argsort(-slow.max((1, 2)))[:4]
    np.testing.assert_array_equal(top.indices, order)
    for index, position in zip(order, top.positions, strict=True):
        assert slow[index][tuple(position)] == slow[index].max()


@EVERY
def test_the_mean_color_has_a_value_for_each_channel(domain):
    network = small_network(domain)
    middle = (domain.low + domain.high) / 2
    assert mean_color(network) == pytest.approx((middle,) * domain.channels)


def test_a_mean_color_outside_the_range_is_its_end():
    network = small_network(BANDS)
    means = (-1.0, 0.25, 0.5, 2.0, 1.0)
    preprocessing = Preprocessing(SIZE, mean=means, domain=BANDS)
    network = dataclasses.replace(network, preprocessing=preprocessing)
    assert mean_color(network) == (0.0, 0.25, 0.5, 1.0, 1.0)


@EVERY
def test_patches_keep_values_and_fill_what_is_beyond(domain):
    images = noise_images(domain, 2)
    fill = tuple((domain.low + domain.span * np.linspace(0.21, 0.77, domain.channels)).tolist())
    boxes = [PixelBox(-1, 2, 2, 5), PixelBox(3, 8, 6, 11)]
    patches, valid = extract_patches(images, boxes, fill=fill)
    assert patches.dtype == domain.dtype
    filled = np.rint(fill) if domain.is_8bit else np.float32(fill)
    np.testing.assert_array_equal(patches[0, 0], np.broadcast_to(filled, (3, domain.channels)))
    np.testing.assert_array_equal(patches[0, 1:], images[0, :2, 2:5])
    np.testing.assert_array_equal(patches[1, :, :2], images[1, 3:6, 8:10])
    np.testing.assert_array_equal(~valid[0, 0], True)
    assert valid[0, 1:].all()


def test_a_fill_for_other_channels():
    boxes = [PixelBox(0, 0, 2, 2)]
    with pytest.raises(ValueError, match=r"fill must have 1 values, one per channel, not \(0, 0"):
        extract_patches(noise_images(SOUNDS, 1), boxes, fill=(0, 0, 0))


@EVERY
def test_mean_images_are_means_of_values(domain):
    images = noise_images(domain, 5)
    mean = mean_image(images)
    assert (mean.dtype, mean.shape) == (np.float32, images.shape[1:])
    np.testing.assert_allclose(mean, images.astype(np.float64).mean(0), rtol=1e-6, atol=1e-6)
    assert domain.holds(mean)


def test_absent_images_are_blank():
    picked = pick(noise_images(SOUNDS, 2), np.array([[1, -1]]), blank=SOUNDS.low)
    assert (picked[0, 1] == -80).all()


@pytest.fixture(scope="module", params=DOMAINS.values(), ids=DOMAINS)
def found(request):
    """Facets of a class unit among two kinds of images; the network and the images."""
    network, images = small_network(request.param), two_kinds(request.param, 12)
    facets = discover_facets(network, images, unit="classes:0", num_facets=2, num_mean_images=6)
    return network, images, facets


def test_facets_are_found_in_any_domain(found):
    network, images, facets = found
    domain = network.preprocessing.domain
    assert facets.domain == domain
    assert facets.mean_images.shape == (2, *SIZE, domain.channels)
    truth = np.arange(24) < 12
    for facet in (0, 1):
        of_one = truth[facets.indices[facets.assignment == facet]]
        assert of_one.all() or not of_one.any()
        members = facets.indices[facets.nearest[facet]]
        expected = images[members].astype(np.float64).mean(0)
        np.testing.assert_allclose(facets.mean_images[facet], expected, rtol=1e-6, atol=1e-5)


def test_facets_come_back_with_their_domain(found, tmp_path):
    facets = found[2]
    facets.save(tmp_path / "facets.npz")
    again = Facets.load(tmp_path / "facets.npz")
    assert again.domain == facets.domain
    np.testing.assert_array_equal(again.mean_images, facets.mean_images)


def test_a_facets_file_of_other_channels_is_damaged(found, tmp_path):
    facets = dataclasses.replace(found[2], domain=Domain(7, 0, 1, "other"))
    facets.save(tmp_path / "facets.npz")
    with pytest.raises(DamagedFacetsError, match="array 'mean_images' has the shape"):
        Facets.load(tmp_path / "facets.npz")


def test_a_hidden_unit_has_patches_of_values():
    network, images = small_network(SOUNDS), noise_images(SOUNDS, 12)
    facets = discover_facets(
        network, images, unit="map:1", num_facets=2, num_mean_images=3, top_count=8
    )
    assert facets.mean_images.shape == (2, 3, 3, 1)
    rows = facets.nearest[0][facets.nearest[0] >= 0]
    patches, valid = load_patches(
        network,
        open_images(images, domain=SOUNDS),
        "map:1",
        facets.indices[rows],
        facets.positions[rows],
    )
    whole = valid.all(0)
    expected = patches.astype(np.float64).mean(0)[whole]
    np.testing.assert_allclose(facets.mean_images[0][whole], expected, rtol=1e-6)
    assert len(np.unique(patches)) > 20  # not in whole steps


@pytest.mark.parametrize("call", [compute_codes, discover_facets])
def test_images_of_another_domain_are_refused(call):
    network = small_network(SOUNDS)
    with pytest.raises(ValueError, match=r"shape \(8, 10, 3\), but \(height, width, 1\) is needed"):
        call(network, noise_images(RGB, 8), unit="classes:0")
    grey = ArraySource(noise_images(GREY, 8), GREY)
    with pytest.raises(ValueError, match=r"source is grey in \[0, 255\], but spectrogram of 1 ch"):
        call(network, grey, unit="classes:0")
    with pytest.raises(ValueError, match="but spectrogram of 1 channel"):
        top_images(network, grey, units=["classes:0"], count=2)


def test_a_cache_tells_domains_apart(tmp_path):
    """The same bytes mean other images in another domain."""
    counts = []
    values = np.random.default_rng(0).uniform(0, 16, (6, *SIZE, 1)).astype(np.float32)
    for domain in (DIGITS, Domain(1, 0, 16, "depth"), Domain(1, 0, 17, "grey"), DIGITS):
        network = small_network(DIGITS)
        preprocessing = dataclasses.replace(network.preprocessing, domain=domain)
        network = dataclasses.replace(network, preprocessing=preprocessing)
        compute_codes(network, values, unit="classes:0", cache_dir=tmp_path)
        counts.append(len(list(tmp_path.glob("codes-*.npz"))))
    assert counts == [1, 2, 3, 3]


def test_a_cache_tells_sources_of_different_domains_apart(tmp_path):
    """Also where networks are said to be the same."""
    values = np.zeros((2, *SIZE, 1), np.float32)
    contexts = {
        CodeCache.open(
            tmp_path,
            network_fingerprint="same",
            source=ArraySource(values, domain),
            rule=ResizeRule(SIZE),
        ).context
        for domain in (DIGITS, GREY, SOUNDS, DIGITS)
    }
    assert len(contexts) == 3
