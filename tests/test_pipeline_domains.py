"""What of the main job knows what images are: sources, what a run keeps of them, and scores."""

import dataclasses

import numpy as np
import pytest

from mfvjax.domain import GREY, RGB, Domain
from mfvjax.facets.discover import discover_facets
from mfvjax.images import ArraySource, ResizeRule, open_images
from mfvjax.metrics import color_distance, image_diversity
from mfvjax.network import Network
from mfvjax.pipeline.assemble import read_pictures
from mfvjax.pipeline.scoring import _colors, center_crops
from mfvjax.pipeline.sources import open_source
from tests.domain_networks import (
    BANDS,
    DIGITS,
    DOMAINS,
    SIZE,
    SOUNDS,
    STEREO,
    noise_images,
    small_network,
    two_kinds,
)

EVERY = pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS)
RULES = [
    {},
    {"resize_shorter": 14},
    {"resize_shorter": None},
    {"warp": True},
    {"resize_shorter": 12, "warp": True},
]


def facets_of(domain, *, size=SIZE, **options):
    """Facets of two kinds of images whose sides are not the network's; with their source."""
    network = small_network(domain)
    source = ArraySource(two_kinds(domain, 8, size=size), domain)
    facets = discover_facets(
        network, source, unit="classes:0", num_facets=2, num_mean_images=4, **options
    )
    return network, source, facets


@pytest.mark.parametrize("options", RULES, ids=str)
@pytest.mark.parametrize("domain", [RGB, SOUNDS], ids=str)
def test_the_images_shown_are_those_that_were_averaged(domain, options):
    """Also where they were resized otherwise than by default."""
    network, source, facets = facets_of(domain, size=(21, 17), **options)
    pictures = read_pictures(network, source, facets)
    assert pictures.nearest.dtype == domain.dtype
    assert (facets.nearest >= 0).all()
    means = pictures.nearest.astype(np.float64).mean(1)
    np.testing.assert_allclose(facets.mean_images, means, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("options", RULES[1:], ids=str)
def test_thumbnails_show_what_the_network_saw(options):
    network, source, facets = facets_of(RGB, size=(21, 17), **options)
    found = read_pictures(network, source, facets).real.thumbnails
    rule = ResizeRule(SIZE, **options)
    for index, thumbnail in zip(facets.indices, found, strict=True):
        seen = rule.apply(source.read(int(index)))
        np.testing.assert_array_equal(thumbnail, ResizeRule((48, 48)).apply(seen))


def test_thumbnails_of_photographs_are_resized_once():
    network, source, facets = facets_of(RGB, size=(60, 70))
    found = read_pictures(network, source, facets).real.thumbnails
    for index, thumbnail in zip(facets.indices, found, strict=True):
        once = ResizeRule((48, 48)).apply(source.read(int(index)))
        np.testing.assert_array_equal(thumbnail, once)


@pytest.mark.parametrize("domain", [GREY, DIGITS, SOUNDS, STEREO, BANDS], ids=str)
def test_other_thumbnails_are_levels_of_the_whole_image(domain):
    network, source, facets = facets_of(domain)
    found = read_pictures(network, source, facets).real.thumbnails
    side = min(SIZE)
    assert (found.dtype, found.shape) == (np.uint8, (16, side, side, domain.channels))
    for index, thumbnail in zip(facets.indices, found, strict=True):
        image = source.read(int(index))
        if domain.is_picture:  # the central square
            expected = domain.levels(image[:, 1:-1])
        else:
            expected = domain.levels(ResizeRule((side, side), warp=True).apply(image))
        np.testing.assert_array_equal(thumbnail, expected)


def test_images_that_do_not_exist_have_the_lowest_value():
    network, source, facets = facets_of(SOUNDS)
    nearest = facets.nearest.copy()
    nearest[1, 2:] = -1
    pictures = read_pictures(network, source, dataclasses.replace(facets, nearest=nearest))
    assert (pictures.nearest[1, 2:] == -80).all()
    assert (pictures.nearest[1, :2] > -80).any()


def test_facets_of_another_domain_are_refused():
    network, source, facets = facets_of(DIGITS)
    other = dataclasses.replace(facets, domain=GREY)
    with pytest.raises(
        ValueError,
        match=r"facets are of images in grey in \[0, 255\], but 'small grey' takes grey in \[0, 16",
    ):
        read_pictures(network, source, other)


@EVERY
def test_sources_are_opened_for_the_network(domain):
    network = small_network(domain, size=(16, 16))
    source = open_source(noise_images(domain, 3), network=network)
    assert source.domain == domain
    if domain != RGB:
        with pytest.raises(ValueError, match=r"source is RGB in \[0, 255\], but"):
            open_source("facetworld:pool table", network=network)


def test_painted_pictures_are_rgb():
    network = Network.load("compact")
    assert open_source("facetworld:pool table", network=network).domain == RGB
    with pytest.raises(ValueError, match="but RGB"):
        open_source(open_images(noise_images(GREY, 2), domain=GREY), network=network)


def test_colors_are_compared_only_where_there_are_some():
    for domain in (RGB, Domain(3, -1, 1, "rgb"), DIGITS, SOUNDS, BANDS):
        network, source, facets = facets_of(domain)
        nearest = read_pictures(network, source, facets).nearest
        windows = domain.from_levels(domain.levels(noise_images(domain, 3))).astype(np.float32)
        found = _colors(domain, facets, windows, nearest)
        if not domain.is_color:
            assert found == {}
            continue
        assert set(found) == {"color_distance", "color_distance_control"}
        levels = [domain.levels(images).astype(np.float32) for images in (windows, *nearest)]
        for facet in (0, 1):
            expected = color_distance(levels[0][facet], levels[1 + facet])
            # Means of floats have more than 256 levels.
            assert found["color_distance"][facet] == pytest.approx(expected, abs=0.3)
            control = color_distance(levels[0][2], levels[1 + facet])
            assert found["color_distance_control"][facet] == pytest.approx(control, abs=0.3)


def test_colors_of_images_without_color_are_refused():
    images = noise_images(Domain(3, 0, 1, "bands"), 2)
    with pytest.raises(ValueError, match=r"images in bands of 3 channels in \[0, 1\] have no col"):
        color_distance(images[0], images, domain=Domain(3, 0, 1, "bands"))


@pytest.mark.parametrize("domain", [GREY, DIGITS, SOUNDS, STEREO, BANDS], ids=str)
def test_image_diversity_in_percent_of_the_range(domain):
    images = noise_images(domain, 4).astype(np.float32)
    expected = []
    for i in range(4):
        for j in range(i):
            shares = (images[i].astype(float) - images[j]) / (domain.high - domain.low)
            expected.append(np.sqrt((shares**2).mean(-1)).mean())
    found = image_diversity(images, domain=domain)
    np.testing.assert_allclose(found, 100 * np.mean(expected), rtol=1e-6)
    ends = np.stack(
        [np.full((3, 3, domain.channels), v, np.float32) for v in (domain.low, domain.high)]
    )
    np.testing.assert_allclose(image_diversity(ends, domain=domain), 100)
    assert np.isnan(image_diversity(images[:1], domain=domain))


def test_image_diversity_of_rgb_is_the_same_in_every_range():
    levels = noise_images(RGB, 3)
    unit = Domain(3, -1, 1, "rgb")
    expected = image_diversity(levels)
    found = image_diversity(unit.from_levels(levels), domain=unit)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_center_crops_of_any_channels():
    images = np.arange(2 * 6 * 8 * 5, dtype=np.float32).reshape(2, 6, 8, 5)
    np.testing.assert_array_equal(center_crops(images, (4, 4)), images[:, 1:5, 2:6])
