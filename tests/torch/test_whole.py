"""The main job, whole, on PyTorch modules, with a judge of another kind."""

import functools

import numpy as np
import pytest

from tests.torch.needs import torch_or_skip

torch = torch_or_skip("torchvision", "timm")

import safetensors.torch  # noqa: E402
import timm  # noqa: E402
import torchvision  # noqa: E402

from mfvjax import (  # noqa: E402
    Network,
    Preprocessing,
    judge_run,
    load_run,
    run_unit,
    save_run,
    with_judgement,
    write_page,
)
from mfvjax.judging.pictures import center_windows  # noqa: E402
from mfvjax.pipeline import largest_difference, replay  # noqa: E402
from tests.torch.reference import randomized  # noqa: E402
from tests.torch.small_modules import small_cnn  # noqa: E402

QUICK = {"recipe": "small-image", "step_fraction": 0.05, "controls": False}
OPTIONS = {"num_facets": 2, "seed": 1, **QUICK}


MADE = {"small": small_cnn, "resnet18": lambda n: torchvision.models.resnet18(num_classes=n)}
SLOW = [pytest.param("resnet18", marks=pytest.mark.slow)]


@functools.cache
def network_of(kind):
    """A module with random weights whose classes are called as the bundled networks' are."""
    torch.manual_seed(0)
    names = Network.load("compact").class_names
    return Network.from_torch(
        randomized(MADE[kind](len(names))),
        preprocessing=Preprocessing((64, 64), mean=124, scale=1 / 58),
        class_names=names,
        name=kind,
    )


@pytest.mark.parametrize("kind", ["small", *SLOW])
def test_a_class_of_a_torch_module_is_shown_judged_and_kept(kind, tmp_path):
    network = network_of(kind)
    logits = network.logits_layer
    # Nothing holds the codes, which tell little in a network of random weights.
    options = {**OPTIONS, "step_fraction": 0.25, "hold": 0.0}
    class_run = run_unit(network, "facetworld:pool table", unit=f"{logits}:2", **options)
    assert class_run.network["code_layer"] == {"small": "7", "resnet18": "fc.input"}[kind]
    assert class_run.shown.images.shape[0] == 2
    assert np.isfinite(class_run.shown.images).all()
    windows = center_windows(class_run.shown.images, (64, 64))
    shown = network.activations(windows, logits)[logits][:, 2]
    start = network.activations(class_run.facets.mean_images, logits)[logits][:, 2]
    assert (np.asarray(shown) > np.asarray(start)).all()
    judgement = judge_run(class_run, "compact")
    assert judgement.class_name == "pool table"
    judged = with_judgement(class_run, judgement)
    save_run(judged, tmp_path / "run")
    write_page(judged, tmp_path / "run/report.html")
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert kind in page
    assert "Judged by compact" in page
    kept = load_run(tmp_path / "run")
    np.testing.assert_array_equal(kept.shown.images, judged.shown.images)


def test_a_torch_module_judges():
    run = run_unit("compact", "facetworld:pool table", unit="fc8:2", **OPTIONS)
    judgement = judge_run(run, network_of("small"))
    assert judgement.judge["name"] == "small"
    assert judgement.judge["num_classes"] == 14
    assert judgement.class_name == "pool table"


@pytest.mark.slow
def test_a_token_of_a_named_transformer_is_shown_and_replayed(tmp_path):
    torch.manual_seed(0)
    file = tmp_path / "vit.safetensors"
    safetensors.torch.save_file(randomized(timm.create_model("test_vit")).state_dict(), file)
    address = f"timm:test_vit@{file}"
    images = np.random.default_rng(0).uniform(0, 255, (16, 160, 160, 3)).astype(np.float32)
    run = run_unit(address, images, unit="blocks.1:3@cls", **OPTIONS)
    assert run.unit == "blocks.1:3@0"
    assert run.options["network"] == address
    save_run(run, tmp_path / "run")
    again = replay(load_run(tmp_path / "run"), images=images)
    assert largest_difference(run, again) == 0
    torch.save({n: 2 * t for n, t in timm.create_model("test_vit").state_dict().items()}, file)
    file.rename(tmp_path / "vit.pth")
    with pytest.raises(ValueError, match="has changed since the run: its fingerprint was"):
        replay(run, images=images, network=f"timm:test_vit@{tmp_path / 'vit.pth'}")
