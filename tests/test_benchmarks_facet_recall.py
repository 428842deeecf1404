"""Recall by what was painted: references, verdicts, and what a way's objectives are."""

import sys

import jax
import numpy as np
import pytest

from benchmarks import facet_recall, painted_truth
from benchmarks.painted_truth import PaintedTruth
from mfvjax import facetworld
from mfvjax.network import Network
from mfvjax.recipes import FACET_STATISTICS_SMALL, SMALL_IMAGE, UnitHeld
from tests.tiny_network import tiny_network


@pytest.fixture(scope="module")
def truth():
    return PaintedTruth.of(Network.load("compact"), per_facet=2)


def test_references_are_mean_codes_of_painted_facets(truth):
    assert len(truth.centroids) == sum(map(len, facetworld.FACETS.values())) == 33
    rows = [
        (c, f)
        for c, name in enumerate(facetworld.CLASSES)
        for f in range(len(facetworld.FACETS[name]))
    ]
    assert list(zip(truth.class_index.tolist(), truth.facet_index.tolist(), strict=True)) == rows
    images = [
        facetworld.render("beacon", "by night", seed=painted_truth.REFERENCE_SEED, index=i)
        for i in range(2)
    ]
    codes = truth.network.activations(np.stack(images).astype(np.float32), "fc7")["fc7"]
    found = truth.centroids[rows.index((facetworld.CLASSES.index("beacon"), 1))]
    np.testing.assert_allclose(found, np.asarray(codes).mean(0), rtol=1e-3, atol=1e-3)


def test_verdicts_follow_the_painted_facet(truth):
    beacon, volcano = (facetworld.CLASSES.index(name) for name in ("beacon", "volcano"))
    images = np.stack([facetworld.render("beacon", f, seed=9) for f in facetworld.FACETS["beacon"]])
    right = truth.look(images, np.full(3, beacon), np.arange(3))
    assert right.of_class.all()
    assert right.of_all.all()
    assert right.top1.all()
    assert (right.margin > 0).all()
    turned = truth.look(images, np.full(3, beacon), np.array([1, 2, 0]))
    assert not turned.of_class.any()
    assert (turned.margin < 0).all()
    other = truth.look(images[:2], np.full(2, volcano), np.arange(2))
    assert not other.of_all.any()
    assert not other.top1.any()
    assert right.summary()["of_class"] == 1


def test_ceiling_and_chance(truth):
    beacon, volcano = (facetworld.CLASSES.index(name) for name in ("beacon", "volcano"))
    assert len(truth.ceiling(np.array([beacon, volcano])).top1) == 5  # one picture of each facet
    assert truth.ceiling(np.array([beacon])).of_class.mean() > 1 / 3
    chance = truth.chance(np.array([beacon, beacon, beacon, volcano, volcano]))
    assert chance == pytest.approx({"of_class": 2 / 5, "of_all": 1 / 33, "top1": 1 / 14})


def test_a_judge_must_know_the_painted_classes():
    with pytest.raises(ValueError, match="are not those that are painted"):
        PaintedTruth.of(tiny_network())


def test_subjects_know_what_was_painted():
    network = Network.load("compact")
    (subject,) = facet_recall.find_subjects(network, "true", ["volcano"])
    assert sorted(subject.painted.tolist()) == [0, 1]
    assert (subject.purity > 0.9).all()
    first = subject.nearest_images[subject.painted.tolist().index(1)].astype(float)
    assert first.mean() < subject.nearest_images[subject.painted.tolist().index(0)].mean()


def test_ways_are_recipes_with_an_objective():
    assert facet_recall.WAYS["facet-statistics"].recipe == FACET_STATISTICS_SMALL
    assert facet_recall.WAYS["release"].recipe.objective == UnitHeld(hold=0.0)
    assert facet_recall.WAYS["held"].recipe.objective == SMALL_IMAGE.objective


@pytest.mark.slow
def test_the_command_makes_and_judges_pictures(tmp_path, monkeypatch, capsys):
    """Two steps on one class; the judge is the network itself, for its ceiling's sake."""
    monkeypatch.setattr(facet_recall, "write", lambda name, found: found["classes"])
    words = ["--ways", "facet-statistics,release", "--classes", "volcano", "--steps", "0.02"]
    words += ["--judge", "compact", "--pictures", str(tmp_path / "made.npz")]
    monkeypatch.setattr(sys, "argv", ["facet_recall", *words])
    with jax.numpy_dtype_promotion("standard"):  # optax's Adam mixes integers and floats
        facet_recall.main()
    output = capsys.readouterr().out
    assert "2 facets in the eyes of compact" in output
    made = np.load(tmp_path / "made.npz")
    assert made["release"].shape == made["untouched start"].shape == (2, 96, 96, 3)
    assert np.abs(made["facet-statistics"] - made["release"]).mean() > 1
