"""Brush strokes of facetworld: distances, noise, light and lens against other libraries."""

import cv2
import numpy as np
import pytest
from scipy import interpolate, ndimage

from mfvjax.facetworld import backdrops, light, noise, photo, shapes
from mfvjax.facetworld.canvas import Canvas, mix, new_canvas, srgb

SIZE = 64


@pytest.fixture
def canvas():
    return new_canvas(np.random.default_rng(3), SIZE)


@pytest.fixture
def flat():
    """A camera that is not shaken."""
    return new_canvas(np.random.default_rng(3), SIZE, zoom=0.0, shift=0.0, roll=0.0)


def opencv_distance(canvas, points):
    outline = np.array(points, np.float32).reshape(-1, 1, 2)
    places = zip(canvas.x.ravel().tolist(), canvas.y.ravel().tolist(), strict=True)
    found = [-cv2.pointPolygonTest(outline, place, True) for place in places]
    return np.reshape(found, canvas.x.shape)


STAR = [(0.0, -0.8), (0.2, -0.1), (0.8, 0.0), (0.25, 0.2), (0.1, 0.7), (-0.6, 0.5), (-0.2, -0.2)]


@pytest.mark.parametrize("points", [STAR, STAR[::-1], [(-0.5, -0.5), (0.7, 0.1), (0.0, 0.6)]])
def test_polygon_distance(canvas, points):
    found = shapes.polygon(canvas.x, canvas.y, points)
    np.testing.assert_allclose(found, opencv_distance(canvas, points), atol=2e-4)


def test_box_distance(canvas):
    corners = [(-0.4, -0.2), (0.4, -0.2), (0.4, 0.2), (-0.4, 0.2)]
    found = shapes.box(canvas.x, canvas.y, 0.4, 0.2)
    np.testing.assert_allclose(found, opencv_distance(canvas, corners), atol=2e-4)
    rounded = shapes.box(canvas.x, canvas.y, 0.5, 0.3, 0.1)
    np.testing.assert_allclose(rounded, found - 0.1, atol=1e-6)


def test_stroke_and_curve_distances(canvas):
    points = [(-0.6, -0.4), (0.1, 0.5), (0.7, 0.2)]
    places = np.stack([canvas.x.ravel(), canvas.y.ravel()], 1)
    legs = [np.linspace(points[i], points[i + 1], 2000) for i in range(2)]
    nearest = cv2.BFMatcher(cv2.NORM_L2)
    brute = [m[0].distance for m in nearest.knnMatch(places, np.float32(np.concatenate(legs)), 1)]
    found = shapes.curve(canvas.x, canvas.y, points, 0.1)
    np.testing.assert_allclose(found.ravel(), np.array(brute) - 0.1, atol=1e-3)
    ends = shapes.stroke(np.float32([[-1, 2]]), np.float32([[0, 0]]), (0, 0), (1, 0), 0.1, 0.3)
    np.testing.assert_allclose(ends, [[0.9, 0.7]], rtol=1e-6)


def test_ellipses_are_exact_on_their_outline():
    angles = np.linspace(0, 6, 50, dtype=np.float32)[None]
    x, y = 0.7 * np.cos(angles), 0.3 * np.sin(angles)
    np.testing.assert_allclose(shapes.ellipse(x, y, 0.7, 0.3), 0, atol=1e-6)
    # To first order the distance is right close by: step out along the normal.
    normal = np.stack([x / 0.7**2, y / 0.3**2]) / np.hypot(x / 0.7**2, y / 0.3**2)
    out = shapes.ellipse(x + 0.01 * normal[0], y + 0.01 * normal[1], 0.7, 0.3)
    np.testing.assert_allclose(out, 0.01, rtol=0.05)
    np.testing.assert_allclose(shapes.disc(x, y, 0.3), np.hypot(x, y) - 0.3, atol=1e-6)


def test_joined_shapes():
    first, second = np.float32([[-1, 2, 0.1]]), np.float32([[1, -1, 0.1]])
    np.testing.assert_allclose(shapes.outside(first, second), [[1, 2, 0.1]])
    melted = shapes.melt(first, second, 0.2)
    np.testing.assert_allclose(melted, [[-1, -1, 0.05]], atol=1e-6)  # the seam sinks by width / 4
    places = np.float32([[0.0, 0.25, 0.5, 0.75]])
    np.testing.assert_allclose(shapes.stripe(places, 1.0), [[0.5, 0.25, 0, 0.25]])
    np.testing.assert_allclose(shapes.wave(places, 1.0), [[0, 1, 0, -1]], atol=1e-6)


def test_noise_is_a_b_spline():
    lattice = np.random.default_rng(0).random((9, 5), np.float32)
    spline = interpolate.BSpline(np.arange(-3, 10), lattice.astype(float), 3)
    found = noise.resample(lattice, 0.3, 0.2, 20)
    np.testing.assert_allclose(found, spline(0.3 + 0.2 * np.arange(20)), atol=1e-6)


@pytest.mark.parametrize("octaves", [1, 4])
def test_noise_has_mean_0_and_deviation_1(octaves):
    canvas = new_canvas(np.random.default_rng(0), 256)
    fields = [noise.noise(canvas, 20, 30, octaves=octaves) for _ in range(8)]
    assert abs(np.mean(fields)) < 0.05
    assert np.std(fields) == pytest.approx(1, abs=0.06)
    assert abs(np.corrcoef(fields[0].ravel(), fields[1].ravel())[0, 1]) < 0.1


def test_noise_is_as_fine_as_asked_along_each_axis():
    canvas = new_canvas(np.random.default_rng(0), 256)
    field = noise.noise(canvas, 4, 32)
    across, down = (np.abs(np.diff(field, axis=axis)).mean() for axis in (1, 0))
    assert down / across == pytest.approx(8, rel=0.25)


def test_parts_paint_through(canvas):
    part = canvas.part(0.2, -0.3, 0.25, 0.1)
    inside = shapes.box(canvas.x - 0.2, canvas.y + 0.3, 0.25, 0.1) < 0
    part.paint(np.ones_like(part.x), srgb(1.0, 0.5, 0.0))
    painted = canvas.pixels[0] == 1
    assert painted[inside].all()
    assert painted.sum() == part.x.size < 0.2 * canvas.x.size
    nested = part.part(0.2, -0.3, 0.05)
    np.testing.assert_allclose([nested.x.mean(), nested.y.mean()], [0.2, -0.3], atol=0.04)
    assert canvas.part(9.0, 9.0, 0.1).x.shape >= (2, 2)


def test_covered_area_is_the_shapes(flat):
    cover = flat.cover(shapes.disc(flat.x, flat.y, 0.6))
    assert cover.sum() * flat.pixel**2 == pytest.approx(np.pi * 0.36, rel=2e-3)


def test_painting_darkening_shining(flat):
    flat.pixels[...] = 0.5
    half = np.full_like(flat.x, 0.5)
    red = srgb(1.0, 0.0, 0.0)
    flat.paint(half, red)
    np.testing.assert_allclose(flat.pixels[:, 0, 0], [0.75, 0.25, 0.25])
    flat.darken(half)
    np.testing.assert_allclose(flat.pixels[:, 0, 0], [0.375, 0.125, 0.125])
    flat.shine(half, red)
    np.testing.assert_allclose(flat.pixels[:, 0, 0], [0.875, 0.125, 0.125])
    np.testing.assert_allclose(mix(red, srgb(0.0, 1.0, 0.0), half)[:, 0, 0], [0.5, 0.5, 0])
    assert srgb(0.5, 0.5, 0.5).ravel()[0] == pytest.approx(0.5**2.2)


def test_local_coordinates_turn_with_the_object(flat):
    u, v = flat.local(0.1, 0.2, np.pi / 6)
    turned = np.exp(1j * np.pi / 6)
    places = (u + 1j * v) * turned + (0.1 + 0.2j)
    np.testing.assert_allclose(places, flat.x + 1j * flat.y, atol=1e-6)


def test_relief_of_a_ball_is_a_ball(flat):
    inside = flat.x**2 + flat.y**2 < 0.5
    height = np.sqrt(np.maximum(1 - flat.x**2 - flat.y**2, 0.01))
    for bent, round_ in zip(light.relief(flat, height), light.ball(flat.x, flat.y), strict=True):
        np.testing.assert_allclose(bent[inside], round_[inside], atol=0.01)
    x, y, z = light.pillar(flat.x, -0.3)
    np.testing.assert_allclose(x**2 + y**2 + z**2, 1, atol=1e-5)
    assert light.cushion(np.float32([[-9, -0.1, 0, 1]]), 0.2)[0, 0] == pytest.approx(0.2)


def test_shading_is_lambert_and_blinn_phong():
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(3, 4, 5)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=0)
    lamp = light.Light((0.6, -0.48, 0.64), srgb(0.9, 0.8, 0.7), srgb(0.3, 0.4, 0.5))
    albedo = srgb(0.5, 0.6, 0.7)
    found = lamp.shade(tuple(normals), albedo, gloss=0.7, sharpness=3)
    toward = np.array(lamp.direction)
    halfway = toward + np.array([0, 0, 1])
    halfway /= np.linalg.norm(halfway)
    for row, column in np.ndindex(4, 5):
        normal = normals[:, row, column].astype(float)
        diffuse, glint = max(normal @ toward, 0), max(normal @ halfway, 0) ** 8
        ambient = (0.65 - 0.35 * normal[1]) * lamp.ambient.ravel()
        expected = albedo.ravel() * (ambient + diffuse * lamp.color.ravel())
        expected = expected + 0.7 * glint * lamp.color.ravel()
        np.testing.assert_allclose(found[:, row, column], expected, rtol=1e-4)


def test_defocus_is_a_gaussian(canvas):
    pixels = ndimage.gaussian_filter(np.random.default_rng(0).random((3, SIZE, SIZE)), (0, 2, 2))
    canvas.pixels[...] = pixels
    photo.defocus(canvas, 3 * canvas.pixel)
    expected = ndimage.gaussian_filter(pixels, (0, 3, 3))
    inner = np.s_[:, 12:-12, 12:-12]
    np.testing.assert_allclose(canvas.pixels[inner], expected[inner], atol=0.01)
    assert canvas.pixels.std() < pixels.std()


def test_bloom_adds_light_around_bright_places_only(flat):
    flat.pixels[:, 30:34, 30:34] = 3.0
    before = flat.pixels.copy()
    photo.bloom(flat, 0.5, radius=0.1)
    added = (flat.pixels - before).sum()
    assert added == pytest.approx(0.5 * (3.0 - 0.4) * 3 * 16, rel=0.02)
    assert (flat.pixels - before)[:, 0, 0].max() < 1e-3


def test_development_keeps_order_and_halves(flat):
    flat.pixels[...] = np.linspace(0, 1.5, SIZE, dtype=np.float32)
    picture = photo.develop(flat)
    assert picture.shape == (SIZE // 2, SIZE // 2, 3)
    columns = picture.mean((0, 2))
    assert np.all(np.diff(columns[1:-2]) > -2)
    assert columns[1] < 75  # black, noise and lens aside; its neighbor is 1/21 of the light
    assert columns[-3] > 215


def test_ramp_is_smoothstep():
    found = backdrops.ramp(np.float32([[-1, 0, 0.25, 0.5, 1, 2]]), 0, 1)
    np.testing.assert_allclose(found, [[0, 0, 0.15625, 0.5, 1, 1]])
    falling = backdrops.ramp(np.float32([[0.0, 1.0]]), 1, 0)
    np.testing.assert_allclose(falling, [[1, 0]])


def test_halving_means_four_pixels():
    pixels = np.random.default_rng(0).random((3, 8, 6)).astype(np.float32)
    expected = np.stack([cv2.resize(p, (3, 4), interpolation=cv2.INTER_AREA) for p in pixels])
    np.testing.assert_allclose(photo.halve(pixels), expected, rtol=1e-5)


def test_a_canvas_is_seen_through_its_camera():
    rng = np.random.default_rng(5)
    for _ in range(5):
        canvas = new_canvas(rng, SIZE)
        rows, columns = np.indices((SIZE, SIZE)) + 0.5
        places = np.stack([canvas.x, canvas.y], -1) @ canvas.axes.T + canvas.origin
        np.testing.assert_allclose(places[..., 0], columns, atol=1e-3)
        np.testing.assert_allclose(places[..., 1], rows, atol=1e-3)
        assert isinstance(canvas, Canvas)
