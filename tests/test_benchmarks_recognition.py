"""The benchmark of recognition: its ways, its scores against oracles, and that work is kept."""

import dataclasses
import types

import jax
import numpy as np
import pytest
from PIL import Image
from sklearn.neighbors import NearestCentroid

from benchmarks import first_figure, recognition
from benchmarks.recognition_ways import WAYS
from mfvjax.ascent.inputs import facet_keys
from mfvjax.facet_objective import UnitAndStatistics, UnitHeld
from mfvjax.judgement import Judged
from mfvjax.network import Network
from mfvjax.objective import ChannelStatistics
from mfvjax.parametrizations import FourierPhase
from mfvjax.pipeline.sources import PaintedSource
from mfvjax.recipes import FACET_STATISTICS
from mfvjax.types import Unit
from tests.test_pipeline import make_facets

# A judge's feature may be 0 on all pictures, which concerns only scikit-learn's shrinking.
pytestmark = pytest.mark.filterwarnings("ignore:self.within_class_std_dev_")

TARGET, JUDGE = Network.load("compact"), Network.load("compact-resnet")


@pytest.fixture(scope="module")
def subject():
    """Two facets of the pool table, as painted, twelve pictures each."""
    source = PaintedSource("pool table", per_facet=12)
    images = np.stack([source.read(i) for i in range(24)]).astype(np.float32)
    assignment = np.repeat([0, 1], 12)
    codes, ranks = recognition.look(JUDGE, images, 2)
    scores = np.asarray(TARGET.activations(images, "fc8")["fc8"])[:, 2]
    facets = dataclasses.replace(
        make_facets(),
        names=tuple(source.names),
        indices=np.arange(24),
        activations=scores,
        map=np.zeros((24, 2)),
        assignment=assignment,
        sizes=np.array([12, 12]),
        centroids=np.zeros((2, 2)),
        code_centroids=np.zeros((2, 256)),
        nearest=np.arange(24).reshape(2, 12)[:, :4],
        mean_images=images.reshape(2, 12, 96, 96, 3).mean(axis=1),
        homogeneity=np.ones(2),
        stability=np.ones(2),
    )
    references = images.reshape(2, 12, 96, 96, 3)[:, :4]
    return recognition.Subject("pool", Unit("fc8", 2), 2, facets, references, codes, ranks)


def test_scores_of_pictures_are_those_of_oracles(subject):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (2, 96, 96, 3)).astype(np.uint8)
    row = recognition.row_of(TARGET, JUDGE, subject, images, 3.0)
    seen = JUDGE.activations(images.astype(np.float32))
    classifier = NearestCentroid().fit(subject.codes, subject.facets.assignment)
    found = classifier.predict(np.asarray(seen["pool5"]).reshape(2, -1))
    order = np.argsort(-np.asarray(seen["fc6"]).reshape(2, -1), axis=1)
    ranks = np.argmax(order == 2, axis=1) + 1
    own = np.asarray(TARGET.activations(images.astype(np.float32), "fc8")["fc8"])[:, 2]
    real = subject.facets.activations
    assert row == recognition.Row(
        np.mean(ranks == 1),
        np.mean(ranks <= 5),
        np.median(ranks),
        np.mean(found == [0, 1]),
        pytest.approx(np.mean(own) / real.max(), rel=1e-5),
        np.mean(own >= np.median(real)),
        3.0,
    )


def test_the_ceiling_is_of_single_photographs_left_out(subject):
    row = recognition.photographs(subject)
    hits = []
    for i in range(24):
        rest = np.arange(24) != i
        classifier = NearestCentroid().fit(subject.codes[rest], subject.facets.assignment[rest])
        hits.append(classifier.predict(subject.codes[i : i + 1])[0] == subject.facets.assignment[i])
    assert row.recall == np.mean(hits)
    assert row.top_1 == np.mean(subject.ranks == 1)
    assert row.seconds is None


def test_each_way_climbs_what_it_says(subject):
    references = subject.references
    others = references[::-1]
    climbed = {}
    for name, way in WAYS.items():
        objectives, starts = way.plan(TARGET, subject.facets, references, others)
        assert len(objectives) == len(starts) == 2
        is_mean = np.allclose(starts, subject.facets.mean_images)
        assert is_mean != way.from_noise
        climbed[name] = objectives
    statistics = {
        name: [t for t in found[0].terms if isinstance(t, ChannelStatistics) and t.weight]
        for name, found in climbed.items()
    }
    with_them = {"facet-statistics", "no-unit", "placebo", "noise", "still", "pixels"}
    assert {name for name, terms in statistics.items() if terms} == with_them
    own, other = statistics["facet-statistics"][0], statistics["placebo"][0]
    of_other = climbed["facet-statistics"][1].terms
    assert not np.allclose(own.means, other.means)
    np.testing.assert_allclose(
        other.means, next(t for t in of_other if isinstance(t, ChannelStatistics)).means
    )
    units = {name: found[0].terms[0].weight for name, found in climbed.items()}
    assert [name for name, weight in units.items() if weight == 0] == ["no-unit"]
    for name in ("release", "lucid", "maco", "no-statistics"):
        assert WAYS[name].recipe.objective == UnitHeld(hold=0.0)
    assert WAYS["facet-statistics"].recipe is FACET_STATISTICS
    assert WAYS["pixels"].recipe.objective == UnitAndStatistics()


def test_magnitudes_are_those_of_the_classs_images(subject):
    recipe = WAYS["maco"].recipe_for(TARGET, subject.references)
    (phase,) = recipe.phases
    assert isinstance(phase.parametrization, FourierPhase)
    assert phase.parametrization.magnitude.shape == (108, 55, 3)
    assert WAYS["lucid"].recipe_for(TARGET, subject.references) is WAYS["lucid"].recipe


def test_pictures_are_made_once_and_of_the_first_facets(subject, tmp_path, monkeypatch):
    calls, keys = [], []

    def made(network, objectives, starts, *, recipe, key):
        calls.append((len(objectives), recipe.num_steps))
        keys.append(jax.random.key_data(key))
        canvases = np.zeros((len(objectives), 110, 110, 3))
        canvases[:, 7:103, 7:103] = 300.0
        return types.SimpleNamespace(images=canvases)

    monkeypatch.setattr(recognition, "visualize", made)
    monkeypatch.setattr(recognition, "_AT_ONCE", 1)
    way = WAYS["no-unit"]
    args = (TARGET, way, subject, subject.references, str(tmp_path / "kept"))
    images, seconds = recognition.make(*args, 1)
    assert calls == [(1, 2), (1, way.recipe.num_steps)]
    assert images.shape == (1, 96, 96, 3)
    assert (images == 255).all()
    again, same = recognition.make(*args, 1)
    assert len(calls) == 2
    assert (again == images).all()
    assert same == seconds
    more, _ = recognition.make(*args, 2)  # only the second is made, with its own key
    assert len(calls) == 4
    assert len(more) == 2
    both = jax.random.key_data(facet_keys(0, 2))
    np.testing.assert_array_equal(np.concatenate(keys[::2]), both)
    statistics = WAYS["facet-statistics"]
    recognition.make(TARGET, statistics, subject, None, str(tmp_path / "all"), 1)
    assert len(calls) == 8


def test_ways_are_compared_on_as_many_facets():
    way, images = WAYS["facet-statistics"], np.arange(7)
    lines = recognition.alike(way, images, 5)
    assert [len(some) for some in lines.values()] == [7, 5]
    assert list(lines) == [way.title, f"{way.title}, the 5 largest facets"]
    np.testing.assert_array_equal(lines[f"{way.title}, the 5 largest facets"], images[:5])
    assert list(recognition.alike(way, images[:5], 5)) == [way.title]


def test_classes_count_alike_and_tables_leave_out_what_is_not_whole():
    one = recognition.Row(1.0, 1.0, 1.0, 0.5, 1.0, 1.0, 2.0)
    other = dataclasses.replace(one, top_1=0.5, median_rank=9.0, seconds=None)
    assert recognition.mean_row([one, other]) == dataclasses.replace(
        one, top_1=0.75, median_rank=5.0, seconds=None
    )
    rows = {"whole": {"a": one, "b": one}, "half": {"a": one}}
    table = recognition.table("title", rows, ["a", "b"])
    assert [line[0] for line in table.rows] == ["whole"]


def test_a_montage_has_a_row_for_each_way(subject, tmp_path):
    made = {"one": np.zeros((1, 96, 96, 3), np.uint8), "two": np.zeros((2, 96, 96, 3), np.uint8)}
    recognition.montage(TARGET, subject, made, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (96, 4 * 48)
        assert sheet.getpixel((72, 120)) == (255, 255, 255)  # the facet that was not made


@pytest.mark.parametrize("words", [["--ways", "best"], ["--classes", "unicorn"]])
def test_unknown_names_are_refused(words, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["recognition", *words])
    with pytest.raises(SystemExit):
        recognition.main()
    assert f"no '{words[1]}'; there are " in capsys.readouterr().err


def test_the_figure_says_what_the_judge_sees():
    judged = Judged(
        rank=np.array([1.0, 4.0]),
        probability=np.array([0.9, 0.04]),
        recalled=np.array([1.0, 0.0]),
        margin=np.zeros(2),
        percentile=np.zeros(2),
        seen_as=("balloon", "clock"),
    )
    assert first_figure.verdict(judged, 0) == "balloon\n90% sure of it; own facet"
    assert first_figure.verdict(judged, 1) == "clock\n4% sure of it; another facet"
    cell = (np.full((96, 96, 3), 200.0), "text")
    sheet = first_figure.draw([[cell] * 4] * 3, ["a", "b", "c", "d"], "judge")
    assert sheet.getpixel((first_figure._MARGIN + 5, 5)) == (200, 200, 200)
