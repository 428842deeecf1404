"""Plots inside the page: every point and every step is where it should be."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from mfvjax.report.colors import PALETTE
from mfvjax.report.vector import curve_svg, map_svg

SVG = "{http://www.w3.org/2000/svg}"


def numbers(text):
    return np.array([float(n) for n in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", text)])


@pytest.fixture(scope="module")
def cloud():
    rng = np.random.default_rng(0)
    return rng.uniform(0, 1, (60, 2)), np.arange(60) % 3


def test_each_facet_has_its_points_in_the_order_of_the_images(cloud):
    points, assignment = cloud
    root = ElementTree.fromstring(map_svg(points, assignment))
    side = numbers(root.get("viewBox"))[2]
    groups = [g for g in root.iter(f"{SVG}g") if "data-facet" in g.attrib]
    assert [g.get("data-facet") for g in groups] == ["0", "1", "2"]
    for facet, group in enumerate(groups):
        places = [(float(u.get("x")), float(u.get("y"))) for u in group.iter(f"{SVG}use")]
        np.testing.assert_allclose(np.array(places) / side, points[assignment == facet], atol=1e-5)
        assert f"--c: {PALETTE[facet]}; fill: var(--mark); stroke: var(--paper)" in group.get(
            "style"
        )


@pytest.mark.parametrize("count", [1, 2])
def test_a_facet_of_one_image_is_shown(count):
    root = ElementTree.fromstring(map_svg(np.full((count, 2), 0.5), np.arange(count)))
    assert len(list(root.iter(f"{SVG}use"))) == count


def test_facets_after_the_twelfth_have_another_shape():
    rng = np.random.default_rng(0)
    root = ElementTree.fromstring(map_svg(rng.uniform(0, 1, (26, 2)), np.arange(26) // 2))
    groups = [g for g in root.iter(f"{SVG}g") if "data-facet" in g.attrib]
    outlines = {f"#{path.get('id')}": path.get("d") for path in root.iter(f"{SVG}path")}
    shapes = [outlines[next(group.iter(f"{SVG}use")).get("href")] for group in groups]
    assert len(set(shapes[:12])) == 1
    assert shapes[12] != shapes[0]
    assert groups[12].get("style") == groups[0].get("style")


def curve(**options):
    steps = np.arange(100)
    activations = (20 * np.sin(steps / 7)).astype(np.float32)
    options = {"phase_ends": (40, 97, 100), "limits": (-25, 25), "salt": "a"} | options
    return activations, curve_svg(options.pop("activations", activations), **options)


def marked_path(svg):
    paths = list(ElementTree.fromstring(svg).iter(f"{SVG}path"))
    (path,) = [p for p in paths if "stroke: var(--mark)" in p.get("style", "")]
    return numbers(path.get("d")).reshape(-1, 2)


def test_the_curve_is_the_activations():
    activations, svg = curve()
    places = marked_path(svg)
    assert abs(np.corrcoef(places[:, 1], activations)[0, 1] + 1) < 1e-6  # y points down
    assert abs(np.corrcoef(places[:, 0], np.arange(100))[0, 1] - 1) < 1e-6


def test_limits_are_shared_not_fitted():
    _, wide = curve(limits=(-100, 100))
    _, narrow = curve(limits=(-25, 25))
    heights = [np.ptp(marked_path(svg)[:, 1]) for svg in (wide, narrow)]
    np.testing.assert_allclose(heights[1] / heights[0], 4, rtol=1e-4)


def test_a_curve_ends_where_the_ascent_stopped():
    stopped = np.where(np.arange(100) < 60, 1.0, np.nan).astype(np.float32)
    stopped[:60] += np.arange(60) % 2  # not a line, which would be simplified
    _, svg = curve(activations=stopped)
    _, whole = curve()
    assert len(marked_path(svg)) == 60
    assert marked_path(svg)[-1, 0] < 0.65 * marked_path(whole)[-1, 0]


def test_phases_are_parted_and_numbered():
    """The third phase, of three steps, has no room for its number."""
    _, svg = curve()
    root = ElementTree.fromstring(svg)
    texts = [t.text for t in root.iter(f"{SVG}text")]
    assert "1" in texts
    assert "2" in texts
    assert "3" not in texts
    dashed = [p for p in root.iter(f"{SVG}path") if "stroke-dasharray" in p.get("style", "")]
    assert len(dashed) == 2


def test_plots_follow_the_page_and_need_no_more():
    for svg in (curve()[1], map_svg(np.random.default_rng(0).uniform(0, 1, (9, 2)), np.arange(9))):
        root = ElementTree.fromstring(svg)
        assert root.tag == f"{SVG}svg"
        assert not [e.tag for e in root.iter() if e.tag.rpartition("}")[2] in ("metadata", "style")]
        assert "width" not in root.attrib
        assert not re.search(r"#0?[0-9a-f]*(10203|fdfc|40506)", svg)  # no sentinel is left
        ids = re.findall(r'id="([^"]*)"', svg)
        assert sorted(ids) == sorted(set(re.findall(r'[("]#([^)"]*)', svg)))


def test_two_plots_of_a_page_share_no_id():
    ids = [set(re.findall(r'id="([^"]*)"', curve(salt=salt)[1])) for salt in ("a", "b")]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_the_same_plot_is_the_same_text():
    assert curve()[1] == curve()[1]
