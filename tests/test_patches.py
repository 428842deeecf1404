"""Receptive-field patches: right pixels, right size at the border, all that the unit sees."""

import numpy as np
import pytest

from mfvjax.facets.codes import compute_codes
from mfvjax.facets.patches import extract_patches, load_patches, mean_color, unit_boxes
from mfvjax.facets.top import top_images
from mfvjax.images import open_images
from mfvjax.types import PixelBox
from tests.exact_network import SIZE, exact_network, slow_activations, small_images

NETWORK = exact_network()[0]
IMAGES = small_images(12)


def slow_patch(image, box, fill):
    """Pixel by pixel: the box, or the whole axis where the box is longer than the image."""
    height, width = image.shape[:2]
    rows = range(height) if box.size[0] >= height else range(box.top, box.bottom)
    columns = range(width) if box.size[1] >= width else range(box.left, box.right)
    patch = np.empty((len(rows), len(columns), 3), np.uint8)
    valid = np.zeros((len(rows), len(columns)), bool)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            valid[i, j] = 0 <= row < height and 0 <= column < width
            patch[i, j] = image[row, column] if valid[i, j] else np.rint(fill)
    return patch, valid


@pytest.mark.parametrize("size", [(4, 4), (1, 1), (5, 2), (9, 3), (30, 4), (4, 30), (12, 40)])
def test_equal_to_copying_pixel_by_pixel(size):
    """Every place of the box that shares a pixel with the image, over all borders."""
    places = np.ndindex(SIZE[0] + size[0] - 1, SIZE[1] + size[1] - 1)
    tops, lefts = np.array(list(places)[::7]).T - np.array(size)[:, None] + 1
    corners = list(zip(tops.tolist(), lefts.tolist(), strict=True))
    boxes = [PixelBox(top, left, top + size[0], left + size[1]) for top, left in corners]
    images = small_images(len(boxes))
    fill = (10.4, 20.6, 250.0)
    patches, valid = extract_patches(images, boxes, fill=fill)
    assert patches.dtype == np.uint8
    for image, box, patch, mask in zip(images, boxes, patches, valid, strict=True):
        expected, expected_mask = slow_patch(image, box, fill)
        assert np.array_equal(patch, expected)
        assert np.array_equal(mask, expected_mask)


def test_a_field_as_large_as_the_image_is_the_image():
    boxes = [PixelBox(-20, -25, -20 + 30, -25 + 30), PixelBox(0, 0, 30, 30)]
    patches, valid = extract_patches(IMAGES[:2], boxes, fill=(0, 0, 0))
    assert np.array_equal(patches, IMAGES[:2])
    assert valid.all()


@pytest.mark.parametrize(
    ("boxes", "fill", "message"),
    [
        ([PixelBox(0, 0, 2, 2)], (0, 0, 0), "1 boxes for 2 images"),
        ([PixelBox(0, 0, 2, 2), PixelBox(0, 0, 2, 3)], (0, 0, 0), "different sizes"),
        ([PixelBox(0, 0, 2, 2), PixelBox(9, 0, 11, 2)], (0, 0, 0), "outside its image of size"),
        ([PixelBox(0, -2, 2, 0), PixelBox(0, 0, 2, 2)], (0, 0, 0), "outside its image of size"),
        ([PixelBox(0, 0, 2, 2)] * 2, (0, 256, 0), r"levels in \[0, 255\], not \(0, 256, 0\)"),
    ],
)
def test_boxes_that_do_not_fit(boxes, fill, message):
    with pytest.raises(ValueError, match=message):
        extract_patches(IMAGES[:2], boxes, fill=fill)


def test_no_boxes():
    with pytest.raises(ValueError, match="0 boxes for 0 images"):
        extract_patches(IMAGES[:0], [], fill=(0, 0, 0))


def test_mean_color_is_what_preprocessing_turns_into_zero():
    assert mean_color(NETWORK) == (3.0, 4.0, 2.0)  # red first


def test_boxes_of_positions():
    boxes = unit_boxes(NETWORK, "map:2@1,1", np.array([[0, 0], [3, 5], [1, 2]]))
    assert boxes == [PixelBox(-1, -1, 3, 2), PixelBox(5, 9, 9, 12), PixelBox(1, 3, 5, 6)]
    with pytest.raises(ValueError, match="rows 0 to 3"):
        unit_boxes(NETWORK, "map:2", np.array([[4, 0]]))


def test_the_patch_is_all_that_the_unit_sees():
    """Whatever lies outside the patch, the activation stays; and it can be computed from it."""
    (top,) = top_images(NETWORK, IMAGES, units=["map:3"], count=12, positions="all")
    source = open_images(IMAGES)
    patches, valid = load_patches(NETWORK, source, "map:3", top.indices, top.positions)
    assert patches.shape == (12, 4, 3, 3)
    assert not valid.all()  # some maxima are at the border
    noise = np.random.default_rng(3).integers(0, 256, (12, *SIZE, 3)).astype(np.uint8)
    boxes = unit_boxes(NETWORK, "map:3", top.positions)
    for image, box, patch, mask in zip(noise, boxes, patches, valid, strict=True):
        inside = box.clip(SIZE)
        image[inside.top : inside.bottom, inside.left : inside.right] = patch[mask].reshape(
            *inside.size, 3
        )
    maps = slow_activations(noise)["map"][..., 3]
    rows, columns = top.positions.T
    assert np.array_equal(maps[np.arange(12), rows, columns], top.activations)


def test_filled_pixels_are_like_the_networks_own_padding():
    """The first layer gives the same for a patch with filled pixels as for the image's border."""
    (top,) = top_images(NETWORK, IMAGES, units=["map:3"], count=12, positions="all")
    patches, valid = load_patches(NETWORK, open_images(IMAGES), "map:3", top.indices, top.positions)
    kernel = np.asarray(NETWORK.params["map"])[..., 3]
    net_input = patches[..., ::-1].astype(np.float64) - NETWORK.preprocessing.mean
    by_patch = np.maximum((net_input * kernel).sum(axis=(1, 2, 3)), 0) // 16
    assert not valid.all()
    assert np.array_equal(by_patch, top.activations)


def test_positions_of_codes_give_patches_too():
    codes = compute_codes(NETWORK, IMAGES, unit="map:3@2,2")
    patches, valid = load_patches(
        NETWORK, open_images(IMAGES), "map:3@2,2", codes.indices, codes.positions
    )
    assert np.array_equal(patches, IMAGES[:, 3:7, 3:6])
    assert valid.all()


@pytest.mark.parametrize("unit", ["hidden:1", "tokens:2"])
def test_a_unit_that_sees_everything_has_the_whole_image(unit):
    codes = compute_codes(NETWORK, IMAGES, unit=unit)
    source = open_images(IMAGES)
    patches, valid = load_patches(NETWORK, source, unit, codes.indices[::-1], codes.positions)
    assert np.array_equal(patches, IMAGES[::-1])
    assert valid.all()


def test_the_resize_rule_is_used():
    large = np.kron(IMAGES, np.ones((1, 2, 2, 1), np.uint8))
    found = [
        load_patches(
            NETWORK, open_images(large), "map:0", np.array([3]), np.array([[2, 2]]), **options
        )[0]
        for options in ({}, {"resize_shorter": None}, {"resize_shorter": 14, "warp": True})
    ]
    assert np.array_equal(found[1][0], large[3][4:13, 5:16][3:7, 3:6])
    assert not np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
