"""The main job, whole, on PyTorch modules, with a judge of another kind."""

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

QUICK = {"recipe": "small-image", "step_fraction": 0.05, "controls": False}
OPTIONS = {"num_facets": 2, "seed": 1, **QUICK}


@pytest.fixture(scope="module")
def residual():
    """A ResNet-18 of eight classes, called as the bundled networks' are."""
    torch.manual_seed(0)
    names = Network.load("compact").class_names
    module = randomized(torchvision.models.resnet18(num_classes=len(names)))
    return Network.from_torch(
        module,
        preprocessing=Preprocessing((64, 64), mean=124, scale=1 / 58),
        class_names=names,
        name="resnet18",
    )


@pytest.fixture(scope="module")
def class_run(residual):
    options = {**OPTIONS, "step_fraction": 0.25}
    return run_unit(residual, "facetworld:pool table", unit="fc:2", **options)


def test_a_class_of_a_torch_module_is_shown_judged_and_kept(residual, class_run, tmp_path):
    assert class_run.network["code_layer"] == "fc.input"
    assert class_run.shown.images.shape[0] == 2
    assert np.isfinite(class_run.shown.images).all()
    windows = center_windows(class_run.shown.images, (64, 64))
    shown = residual.activations(windows, "fc")["fc"][:, 2]
    start = residual.activations(class_run.facets.mean_images, "fc")["fc"][:, 2]
    assert (np.asarray(shown) > np.asarray(start)).all()
    judgement = judge_run(class_run, "compact")
    assert judgement.class_name == "pool table"
    judged = with_judgement(class_run, judgement)
    save_run(judged, tmp_path / "run")
    write_page(judged, tmp_path / "run/report.html")
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "resnet18" in page
    assert "Judged by compact" in page
    kept = load_run(tmp_path / "run")
    np.testing.assert_array_equal(kept.shown.images, judged.shown.images)


def test_a_torch_module_judges(residual):
    run = run_unit("compact", "facetworld:pool table", unit="fc8:2", **OPTIONS)
    judgement = judge_run(run, residual)
    assert judgement.judge["name"] == "resnet18"
    assert judgement.judge["code_layer"] == "fc.input"
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
