"""Real grey digits, from an array to pictures that are digits: the notebook, run in full."""

import types

import numpy as np
import pytest

from mfvjax.pipeline import largest_difference, replay
from mfvjax.store import load_run
from tests.notebook_cells import FOLDER, run_notebook
from tests.report_runs import Page
from tests.test_store import assert_same

DIGITS = (7, 1, 4)
KINDS = ("visualizations", "mean images", "from noise")


# In full; with few steps test_notebooks runs it by default, and test_whole_domains has runs.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("digits")


@pytest.fixture(scope="module")
def demo(folder):
    return types.SimpleNamespace(**run_notebook(FOLDER / "grey_digits.ipynb", folder))


def test_the_data_are_the_digits_and_no_more(demo):
    """Enlarged, framed, and back: a digit and the means of its neighbors, never another one."""
    assert demo.images.shape == (1797, 32, 32, 1)
    assert demo.GREY.holds(demo.images)
    back = demo.shrink(demo.images)
    assert np.corrcoef(back.ravel(), demo.digits.ravel())[0, 1] > 0.98
    frame = demo.images.copy()
    frame[:, demo.MIDDLE, demo.MIDDLE] = 0
    assert frame.max() == 0
    # Linear, and exact where nine pixels were one: a flat digit stays flat.
    np.testing.assert_allclose(demo.shrink(demo.enlarge(np.full((1, 8, 8), 7.0))), 7, rtol=1e-6)


def test_the_network_reads_digits_of_other_hands(demo):
    assert demo.accuracy > 0.95
    assert len(demo.labels[demo.test]) == 497


def test_pictures_are_the_digit_that_the_unit_is_for(demo):
    """Read by a support vector machine, which reads real ones about as well."""
    made = {digit: demo.read(demo.runs[digit].shown.images) for digit in DIGITS}
    assert sum((read == digit).sum() for digit, read in made.items()) >= 8
    real = demo.digits[demo.test].reshape(-1, 64)
    assert demo.judge.score(real, demo.labels[demo.test]) > 0.9


def test_pictures_are_of_their_own_facet(demo):
    """By correlation with real digits, which nothing climbed."""
    shares = {kind: np.mean([demo.shares[d, kind][1] for d in DIGITS]) for kind in KINDS}
    assert shares["visualizations"] >= 7 / 9
    assert shares["visualizations"] > 2 * shares["from noise"]
    for digit in DIGITS:
        real, facets = demo.images[demo.labels == digit], demo.runs[digit].real.assignment
        found = demo.nearest_facets(real, real, facets, leave_out=True)
        assert (found == facets).mean() > 0.8  # what the measure itself is worth
        shuffled = np.random.default_rng(0).permutation(facets)
        chance = (demo.nearest_facets(real, real, shuffled, leave_out=True) == shuffled).mean()
        assert chance < 0.6


def test_the_ascent_adds_activation_to_the_mean_image(demo):
    for digit, run in demo.runs.items():
        start = demo.activations(digit, run.facets.mean_images)
        reached = demo.activations(digit, run.shown.images)
        assert (reached > 1.2 * start).all()
        assert (reached > np.median(run.real.activations)).all()
        np.testing.assert_allclose(reached, run.scores["activation"], rtol=1e-4)


def test_ones_are_bare_or_have_an_arm_or_a_foot(demo):
    """A ruler tells the facets of the real ones apart, and the visualizations likewise."""
    run, ones = demo.runs[1], demo.images[demo.labels == 1]
    facets = run.real.assignment
    for rows, least in ((np.s_[25:28], 1.5), (np.s_[10:17], 1.0)):
        real = demo.width(ones, rows)
        means = np.array([real[facets == facet].mean() for facet in range(3)])
        shown = demo.width(run.shown.images, rows)
        widest = means.argmax()
        assert means[widest] > np.delete(means, widest).max() + least
        assert shown[widest] > np.delete(shown, widest).max() + least / 2


def test_only_the_facets_of_one_are_clear(demo):
    """`auto` finds several for 1; for 7 and 4 it may say one, and gives its reason."""
    for found in demo.found.values():
        assert "silhouette" in found.summary["num_facets"]["reason"]
    assert demo.found[1].num_facets >= 2
    assert demo.found[1].summary["agreement"] > 0.9


def test_pages_and_folders(demo, folder):
    for digit in DIGITS:
        run = load_run(folder / f"digit_{digit}")
        assert_same(run, demo.runs[digit])
        page = Page((folder / f"digit_{digit}" / "report.html").read_text(encoding="utf-8"))
        assert "Images are grey: black is 0, white is 16." in page.text
        assert "olor distance" not in page.text
        assert "grey in [0, 16]" in page.text
    assert not [name for name in (*run.scores, *run.summary) if "color" in name]


def test_a_run_of_digits_is_replayed(demo, folder):
    ones = demo.images[demo.labels == 1]
    again = replay(
        load_run(folder / "digit_1"), network=demo.network, images=ones, recipe=demo.recipe
    )
    assert largest_difference(demo.runs[1], again) == 0
