"""Judges: what a second network says of a run, computed again in plain steps."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from flax import nnx
from sklearn.neighbors import NearestCentroid

import mfvjax
from mfvjax.domain import GREY, RGB, Domain
from mfvjax.judging import check_judge, judge_run, judged, with_judgement
from mfvjax.judging.judge import embedding_layer
from mfvjax.judging.pictures import center_windows, for_judge
from mfvjax.network import Network
from mfvjax.preprocess import Preprocessing
from tests.domain_networks import DOMAINS
from tests.domain_runs import domain_run
from tests.judged_runs import made_up_controls
from tests.oracles.triangle_resize import triangle_resize
from tests.report_runs import shown_run
from tests.run_example import example_run

SIZE = (12, 12)
NAMES = ("n00000001 golf ball", "<i>theater</i>", "pool table, billiard table", "volcano")


class SmallJudge(nnx.Module):
    """A map, whose mean is the code, and classes of it."""

    def __init__(self, channels, classes):
        rng = np.random.default_rng(5)
        self.kernel = nnx.Param(jnp.asarray(rng.normal(0, 1, (channels, 6)), jnp.float32))
        self.head = nnx.Param(jnp.asarray(rng.normal(0, 1, (6, max(classes, 1))), jnp.float32))
        self.classes = classes

    def __call__(self, net_input):
        maps = jnp.tanh(net_input @ self.kernel[...])
        named = {"maps": maps}
        if self.classes:
            named["logits"] = maps.mean((1, 2)) @ self.head[...]
        return named


def small_judge(domain=RGB, *, names=NAMES, size=SIZE, classes=4):
    middle = (domain.low + domain.high) / 2
    network = Network.from_nnx(
        SmallJudge(domain.channels, classes),
        name="small judge",
        preprocessing=Preprocessing(size, mean=middle, scale=4 / domain.span, domain=domain),
        class_names=names if classes else None,
    )
    # Without a layer of classes, as one that ends before them.
    return network if classes else dataclasses.replace(network, logits_layer="", class_names=None)


def read_slowly(judge, images):
    """Codes and logits of images of the judge's input, in NumPy."""
    values = np.asarray(judge.preprocessing.to_net_input(jnp.asarray(images)), np.float64)
    maps = np.tanh(values @ np.asarray(judge.params["kernel"], np.float64))
    codes = maps.mean((1, 2))
    return codes, codes @ np.asarray(judge.params["head"], np.float64)


def resized(images, size=SIZE):
    return np.stack([triangle_resize(image, size) for image in images]).astype(np.float32)


@pytest.fixture(scope="module")
def run():
    run = shown_run(3, 5, image_size=24, title="theater", unit="fc8:1")
    nearest = run.facets.nearest.copy()
    nearest[2, 4] = -1
    images = run.facets.nearest_images.copy()
    images = (images // 4 + np.arange(3, dtype=np.uint8)[:, None, None, None, None] * 60).astype(
        np.uint8
    )
    images[..., 1] = images[..., 1] // 2
    images[2, 4] = 0
    facets = dataclasses.replace(run.facets, nearest=nearest, nearest_images=images)
    run = dataclasses.replace(run, facets=facets)
    return dataclasses.replace(run, controls=made_up_controls(run))


@pytest.fixture(scope="module")
def judge():
    return small_judge(names=("golf ball", "theater", "pool table", "volcano"))


@pytest.fixture(scope="module")
def judgement(run, judge):
    return judge_run(run, judge)


def test_every_number_is_that_of_slow_steps(run, judge, judgement):
    there = [(f, m) for f in range(3) for m in range(5) if run.facets.nearest[f, m] >= 0]
    assert len(there) == 14
    real, _ = read_slowly(judge, resized([run.facets.nearest_images[f, m] for f, m in there]))
    facets = np.array([f for f, _ in there])
    np.testing.assert_array_equal(judgement.real_facets, facets)
    known = NearestCentroid().fit(real, facets)
    height = run.shown.images.shape[1]
    edge = (height - 24) // 2
    crops = run.shown.images[:, edge : edge + 24, edge : edge + 24]
    of_controls = run.controls.images[:, edge : edge + 24, edge : edge + 24]
    for found, images, own in (
        (judgement.shown, crops, [0, 1, 2]),
        (judgement.start, run.facets.mean_images, [0, 1, 2]),
        (judgement.controls, of_controls, [1] * 4),
    ):
        codes, logits = read_slowly(judge, resized(images))
        expected = scipy.stats.rankdata(-logits, axis=1)[:, 1]
        np.testing.assert_array_equal(found.rank, expected)
        shares = scipy.special.softmax(logits, axis=1)[:, 1]
        np.testing.assert_allclose(found.probability, shares, rtol=1e-4)
        np.testing.assert_array_equal(found.recalled, known.predict(codes) == np.array(own))
        np.testing.assert_array_equal(found.recalled == 1, found.margin > 0)
        assert found.seen_as == tuple(judge.class_names[i] for i in logits.argmax(1))


def test_the_ceiling_leaves_each_real_image_out(run, judge, judgement):
    images = run.facets.nearest_images[run.facets.nearest >= 0]
    codes, logits = read_slowly(judge, resized(images))
    facets = judgement.real_facets
    for i in range(len(codes)):
        rest = np.arange(len(codes)) != i
        known = NearestCentroid().fit(codes[rest], facets[rest])
        assert judgement.real.recalled[i] == (known.predict(codes[[i]])[0] == facets[i])
    np.testing.assert_array_equal(judgement.real.rank, scipy.stats.rankdata(-logits, axis=1)[:, 1])


def test_the_summary_and_chance(judgement):
    found = judgement.summary
    assert found["shown"]["top_1"] == np.mean(judgement.shown.rank == 1)
    assert found["start"]["top_5"] == 1  # of four classes
    assert found["real"]["recall"] == judgement.real.recalled.mean()
    assert found["real"]["median_rank"] == np.median(judgement.real.rank)
    assert found["chance"]["top_1"] == found["chance"]["probability"] == 1 / 4
    assert found["chance"]["top_5"] == 1
    assert found["chance"]["median_rank"] == 2.5
    assert found["chance"]["recall"] == pytest.approx(1 / 3)
    # Guessing: the mean of what all ranks would score.
    assert np.mean(np.arange(1, 5)) == found["chance"]["median_rank"]


def test_the_judge_says_who_it_is(judge, judgement):
    assert judgement.judge == {
        "name": "small judge",
        "fingerprint": judge.fingerprint,
        "input_size": [12, 12],
        "code_layer": "maps",
        "num_classes": 4,
    }
    assert (judgement.class_index, judgement.class_name) == (1, "theater")
    assert judgement.class_by == "by name"


def test_some_of_the_pictures(judgement):
    some = judgement.real.take(judgement.real_facets == 1)
    assert len(some.rank) == len(some.seen_as) == 5
    np.testing.assert_array_equal(some.margin, judgement.real.margin[5:10])


def test_a_hidden_unit_has_no_class_but_recall_and_percentiles(run, judge):
    hidden = dataclasses.replace(run, unit="conv4:3@6,6", title="conv4:3")
    found = judge_run(hidden, judge)
    assert found.class_index is None
    assert found.class_by == "conv4:3@6,6 is no unit of a class"
    assert np.isnan(found.shown.rank).all()
    assert np.isnan(found.summary["chance"]["top_1"])
    assert np.isfinite(found.shown.recalled).all()
    assert np.isfinite(found.shown.percentile).all()
    told = judge_run(hidden, judge, judge_class="volcano")
    assert (told.class_index, told.class_by) == (3, "as told")
    assert np.isfinite(told.shown.rank).all()


def test_a_single_facet_is_not_recalled_but_ranked(judge):
    run = shown_run(1, 4, image_size=24, title="theater", unit="fc8:1")
    found = judge_run(run, judge)
    assert np.isnan(found.shown.recalled).all()
    assert np.isnan(found.real.recalled).all()
    assert np.isfinite(found.shown.rank).all()
    assert found.controls is None


def test_a_judge_without_classes_recalls_only(run):
    found = judge_run(run, small_judge(classes=0))
    assert found.judge["code_layer"] == "maps"
    assert found.class_by == "small judge has no layer of classes"
    assert np.isnan(found.shown.probability).all()
    assert found.shown.seen_as == ("", "", "")
    np.testing.assert_array_equal(
        found.shown.recalled, judge_run(run, small_judge()).shown.recalled
    )


def test_the_embedding_is_the_layer_before_the_classes(judge):
    assert embedding_layer(judge) == "maps"
    assert embedding_layer(small_judge(classes=0)) == "maps"


def test_the_judges_of_a_run_are_kept_apart(run, judge, judgement):
    once = with_judgement(run, judgement)
    told = judge_run(run, judge, judge_class=3)
    assert [j.class_index for j in with_judgement(once, told).judgements] == [3]
    other = judge_run(run, small_judge(size=(10, 10)))
    both = with_judgement(once, other)
    assert [j.judge["input_size"] for j in both.judgements] == [[12, 12], [10, 10]]
    replaced = with_judgement(both, told)
    assert [j.class_index for j in replaced.judgements] == [3, other.class_index]
    assert "judge" in judged(run, judge).timings


def test_the_runs_own_network_is_no_judge(run, judge):
    own = dataclasses.replace(run, network={**run.network, "fingerprint": judge.fingerprint})
    with pytest.raises(ValueError, match="the network that the pictures were made for; a judge"):
        judge_run(own, judge)


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=str)
def test_a_judge_sees_images_of_any_domain(domain):
    run = domain_run(domain)
    judge = small_judge(domain, size=(9, 7), names=None)
    found = judge_run(run, judge, judge_class=2)
    assert np.isfinite(found.shown.recalled).all()
    assert np.isfinite(found.real.rank).all()


@pytest.mark.parametrize(
    ("images", "judges"),
    [
        (RGB, GREY),
        (GREY, RGB),
        (Domain(1, -80, 0, "spectrogram"), Domain(1, -60, 0, "spectrogram")),
    ],
)
def test_images_of_another_kind_are_refused(images, judges):
    judge = small_judge(judges)
    with pytest.raises(
        ValueError, match=r"judge 'small judge' takes .*, but the images of the run"
    ):
        check_judge(judge, images)
    with pytest.raises(ValueError, match="but the images of the run are"):
        judge_run(domain_run(images), judge)


def test_photographs_of_another_range_are_brought_to_the_judges():
    unit = Domain(3, -1, 1, "rgb")
    images = np.random.default_rng(0).uniform(-1, 1, (2, 6, 6, 3)).astype(np.float32)
    moved = for_judge(images, unit, size=(6, 6), judge_domain=RGB)
    np.testing.assert_allclose(moved, (images + 1) * 127.5, atol=1e-4)
    wild = np.float32([[[[-9, 0, 9]]]]).repeat(6, 1).repeat(6, 2)
    np.testing.assert_allclose(
        for_judge(wild, unit, size=(6, 6), judge_domain=RGB)[0, 0, 0], [0, 127.5, 255]
    )


@pytest.mark.parametrize("size", [(24, 24), (12, 12), (7, 7), (40, 40)])
def test_pictures_are_resized_without_aliases(size):
    images = np.random.default_rng(1).uniform(0, 255, (2, 24, 24, 3)).astype(np.float32)
    found = for_judge(images, RGB, size=size, judge_domain=RGB)
    np.testing.assert_allclose(found, resized(images, size), atol=1e-3)


def test_pictures_keep_their_proportions_and_spectrograms_their_range():
    ramp = np.linspace(0, 255, 20, dtype=np.float32)[None, None, :, None].repeat(10, 1)
    found = for_judge(ramp, GREY, size=(10, 10), judge_domain=GREY)
    np.testing.assert_allclose(found[0], ramp[0, :, 5:15], atol=1e-3)
    sound = Domain(1, 0, 255, "spectrogram")
    found = for_judge(ramp, sound, size=(10, 10), judge_domain=sound)
    np.testing.assert_allclose(found[0], triangle_resize(ramp[0], (10, 10)), atol=1e-3)


def test_windows_are_the_centers():
    images = np.arange(49.0).reshape(1, 7, 7, 1)
    np.testing.assert_array_equal(
        center_windows(images, (3, 5))[0, :, :, 0], images[0, 2:5, 1:6, 0]
    )
    assert center_windows(images, (9, 3)).shape == (1, 7, 3, 1)


CLASSES = (
    "n00000001 crane",
    "n00000002 Crane",
    "n00000003 tench, Tinca tinca",
    "missile",
    "n00000005 projectile, missile",
    "pool table, billiard table",
)


def classed(title, *, images="photos", names=None, unit="fc8:1", **network):
    run = example_run(2, 12, 16, title=title, unit=unit)
    names = run.real.names if names is None else names
    options = {**run.options, "images": images}
    return dataclasses.replace(
        run,
        real=dataclasses.replace(run.real, names=tuple(names)),
        options=options,
        network={**run.network, **network},
    )


@pytest.mark.parametrize(
    ("run", "index", "about"),
    [
        (classed("n00000003 something else"), 2, "by WordNet identifier n00000003"),
        (classed("Tench, tinca_tinca"), 2, "by name"),
        (classed("tench"), 2, "by name"),
        (classed("tinca tinca, dorado"), 2, "by name"),
        (classed("missile"), 3, "by name"),
        (classed("projectile, missile"), 4, "by name"),
        (classed("billiard table"), 5, "by name"),
        (classed("crane", images="a/n00000002"), 1, "by the images' WordNet identifier n00000002"),
        (classed("crane", images="class:n00000001@pool"), 0, "by the images' WordNet identifier n"),
        (
            classed("fc8:1", names=[f"n00000003_{i}.jpg" for i in range(12)]),
            2,
            "by the images' WordNet identifier n00000003",
        ),
        (
            classed("crane", images="a/n00000003"),
            None,
            "no class of small judge is known to be 'cr",
        ),
        (classed("ostrich"), None, "no class of small judge is known to be 'ostrich'"),
        (classed("n00000009 tench"), 2, "by name"),
    ],
)
def test_classes_are_matched(run, index, about):
    judge = small_judge(names=CLASSES, classes=6)
    match = mfvjax.judging.match_class(run, judge)
    assert match.index == index
    assert match.about.startswith(about)


def test_units_without_a_name():
    judge = small_judge(names=CLASSES, classes=6)
    layer = {"code_layer": "fc8"}  # no class: its code is its own layer's
    hidden = classed("fc8:1", images="n00000003", **layer)
    assert mfvjax.judging.match_class(hidden, judge).index is None
    nameless = mfvjax.judging.match_class(classed("tench"), small_judge(names=None))
    assert nameless.index is None
    assert nameless.about == "the classes of small judge have no names; tell judge_class"


@pytest.mark.parametrize(
    ("wanted", "index"),
    [(3, 3), ("3", 3), ("n00000003", 2), ("TENCH", 2), ("missile", 3), ("billiard_table", 5)],
)
def test_a_class_can_be_told(wanted, index):
    judge = small_judge(names=CLASSES, classes=6)
    assert mfvjax.judging.match_class(classed("x"), judge, wanted).index == index


@pytest.mark.parametrize(
    ("wanted", "judge", "message"),
    [
        (6, {}, "class 6: the classes are 0 to 5"),
        ("crane", {}, r"may be 0 \(n00000001 crane\), 1 \(n00000002 Crane\); give an index"),
        ("tenhc", {}, "has no such class; near it are tench$"),
        ("n00000004", {}, "has no such class$"),
        ("crane", {"names": None}, "have no names; give an index from 0 to 5"),
        ("crane", {"classes": 0}, "'small judge' has no layer of classes"),
    ],
)
def test_a_class_that_is_not_there_is_refused(wanted, judge, message):
    judge = small_judge(**{"names": CLASSES, "classes": 6, **judge})
    with pytest.raises(ValueError, match=message):
        check_judge(judge, RGB, judge_class=wanted)


def test_a_judge_can_be_a_file(run, tmp_path):
    with pytest.raises(FileNotFoundError, match="no weights file"):
        mfvjax.judge_run(run, tmp_path / "none.safetensors")
