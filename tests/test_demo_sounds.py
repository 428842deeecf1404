"""Synthetic sounds with known facets, from formulas to spectrograms: the notebook, run in full."""

import sys
import types
import warnings

import jax
import numpy as np
import pytest
import scipy.signal

import mfvjax
from mfvjax.cli import main
from mfvjax.store import load_run
from mfvjax.updates import MeanAbsoluteStep
from mfvjax.views import RandomView
from tests.notebook_cells import FOLDER, run_notebook
from tests.report_runs import Page
from tests.test_store import assert_same

# In full; with few steps test_notebooks runs it by default, and test_whole_domains has runs.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sounds")


@pytest.fixture(scope="module")
def demo(folder):
    return types.SimpleNamespace(**run_notebook(FOLDER / "sounds.ipynb", folder))


def test_spectrograms_are_those_of_scipy(demo):
    rng = np.random.default_rng(3)
    sound = demo.chirp(rng, "up") + 0.01 * rng.normal(size=demo.LENGTH)
    _, _, transform = scipy.signal.stft(
        sound, window=np.hanning(128), nperseg=128, noverlap=128 - 63, boundary=None, padded=False
    )
    power = np.abs(transform[: demo.SIZE, : demo.SIZE]) ** 2
    decibels = 10 * np.log10(power / power.max())
    np.testing.assert_allclose(demo.spectrogram(sound)[..., 0], decibels.clip(-80, 0), atol=1e-3)


def test_sounds_are_what_they_are_called(demo):
    """The loudest frequency, in bands of 62.5 Hz, by time."""
    rng = np.random.default_rng(4)
    for _ in range(3):
        pitch = {
            facet: demo.draw(rng, name, facet)[..., 0].argmax(axis=0)
            for name in ("chirp", "tone")
            for facet in demo.FACETS[name]
        }
        assert pitch["up"][-1] > pitch["up"][0] + 5
        assert pitch["down"][-1] < pitch["down"][0] - 5
        assert pitch["peak"][32] > max(pitch["peak"][0], pitch["peak"][-1]) + 5
        assert np.ptp(pitch["steady"]) <= 1
        assert np.ptp(pitch["trill"]) >= 5
        noises = {facet: demo.draw(rng, "noise", facet)[..., 0] for facet in demo.FACETS["noise"]}
        assert noises["hiss"][48:].mean() > noises["hiss"][:16].mean() + 10
        assert noises["rumble"][:8].mean() > noises["rumble"][48:].mean() + 10
        loudness = noises["burst"].mean(axis=0)
        assert loudness[32] > loudness[[0, -1]].max() + 10


def test_the_network_knows_the_classes(demo):
    assert demo.accuracy > 0.95


def test_known_facets_are_found(demo):
    """Better than in the features of the same network before it learned anything."""
    trained = [agreement["trained"] for agreement in demo.agreement.values()]
    untrained = [agreement["untrained"] for agreement in demo.agreement.values()]
    assert min(trained) > 0.6
    assert np.mean(trained) > 0.85
    assert np.mean(trained) > np.mean(untrained) + 0.1


def test_visualizations_are_of_the_right_facet(demo):
    right = {
        kind: sum(demo.right[name, kind] for name in demo.FACETS)
        for kind in ("visualizations", "mean images", "without the term", "from noise")
    }
    assert right["visualizations"] >= 8
    assert right["visualizations"] >= right["without the term"]
    assert right["from noise"] <= 3  # one picture for three facets
    for unit in range(3):  # what the measure itself is worth
        own = demo.new_classes == unit
        measured = demo.shown_facets(demo.new_images[own], unit, leave_out=True)
        assert (measured == demo.new_facets[own]).mean() > 0.95


def rises(image):
    """How the middle of what is bright moves: -1 falls, 1 rises all the time."""
    brightness = (image[..., 0] - np.median(image)).clip(0) ** 2
    middle = np.arange(len(image)) @ brightness / brightness.sum(axis=0)
    return np.corrcoef(np.arange(len(middle)), middle)[0, 1]


def test_chirps_rise_and_fall(demo):
    """A measure of another kind: the slope of the spectral centroid."""
    run, own = demo.runs["chirp"], demo.classes == 0
    facets, names = demo.facets[own], demo.FACETS["chirp"]
    real = np.array([rises(image) for image in demo.images[own]])
    slopes = {names[facet]: real[facets == facet] for facet in range(3)}
    assert slopes["up"].min() > 0.5
    assert slopes["down"].max() < -0.5
    for facet in range(3):
        name = names[np.bincount(facets[run.real.assignment == facet]).argmax()]
        slope = rises(run.shown.images[facet])
        assert {"up": slope > 0.5, "down": slope < -0.5, "peak": abs(slope) < 0.5}[name]
    assert abs(rises(demo.from_noise[0])) < 0.5


def test_the_ascent_adds_activation_to_the_mean_image(demo):
    for name, run in demo.runs.items():
        start = demo.activations[name]["mean images"]
        assert (demo.activations[name]["visualizations"] > 1.05 * start).all()
        assert run.scores["facet_recall"].mean() == 1


def test_time_and_frequency_are_not_mixed(demo):
    """The canvas grew in time alone; a view that turns and zooms is refused."""
    run = demo.runs["chirp"]
    assert run.options["recipe"] == "spectrogram"
    assert [images.shape[1:3] for images in run.shown.phase_images] == [(64, 64)] + [(64, 77)] * 3
    phase = mfvjax.Phase(2, MeanAbsoluteStep(1.0), view=RandomView())
    with pytest.raises(ValueError, match="mixes rows and columns, which are not alike"):
        mfvjax.visualize(
            demo.network,
            "classes:0",
            run.facets.mean_images,
            recipe=mfvjax.Recipe("turned", (phase,)),
            key=0,
        )


def test_pages_and_folders(demo, folder):
    for name in demo.FACETS:
        run = load_run(folder / name)
        assert_same(run, demo.runs[name])
        assert not [score for score in (*run.scores, *run.summary) if "color" in score]
        page = Page((folder / name / "report.html").read_text(encoding="utf-8"))
        assert "olor distance" not in page.text
        assert "spectrogram of 1 channel in [-80, 0]" in page.text
        assert page.text.count("time →") == page.text.count("frequency →") == 6


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs the command line in this process: ``(exit code, standard error)``."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)

    def with_arguments(*arguments):
        monkeypatch.setattr(sys, "argv", ["mfvjax", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        jax.config.update("jax_default_device", None)
        return stop.value.code, capsys.readouterr().err

    return with_arguments


def test_commands_for_a_run_from_memory(demo, folder, command):
    """Page and figures can be written again; a replay asks for the network, as the page says."""
    assert command("report", folder / "tone") == (0, "")
    assert len(list((folder / "tone" / "figures").iterdir())) == 6
    code, error = command("replay", folder / "tone")
    assert code == 1
    assert "does not say where its network came from" in error
    page = Page((folder / "tone" / "report.html").read_text(encoding="utf-8"))
    assert "mfvjax replay" not in page.text
    assert "mfvjax.pipeline.replay" in page.text
