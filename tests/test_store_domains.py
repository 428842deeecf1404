"""Run folders of images of any domain: nothing is lost, and people can see what is in them."""

import dataclasses
import json

import matplotlib
import numpy as np
import pytest

from mfvjax.domain import GREY, RGB, Domain
from mfvjax.store import DamagedRunError, load_run, read_header, save_run
from mfvjax.store.pictures import look, png, read_png
from tests.domain_networks import BANDS, DIGITS, DOMAINS, SOUNDS, STEREO
from tests.domain_runs import domain_run, scenes
from tests.test_store import assert_same, files_of, replaced

EVERY = pytest.mark.parametrize(
    "domain", [*DOMAINS.values(), STEREO, Domain(3, 0, 1, "rgb")], ids=str
)


@EVERY
def test_a_run_of_any_domain_comes_back_to_the_last_bit(domain, tmp_path):
    run = domain_run(domain)
    save_run(run, tmp_path / "run")
    assert_same(load_run(tmp_path / "run"), run)
    head = json.loads((tmp_path / "run" / "run.json").read_text())
    assert head["domain"] == dataclasses.asdict(domain)


def test_pictures_of_phases_are_the_record_of_grey_levels_only(tmp_path):
    for domain in (GREY, DIGITS):
        run = domain_run(domain)
        phases = tuple(domain.levels(images) for images in run.shown.phase_images)
        run = replaced(run, "shown", phase_images=phases)
        folder = tmp_path / str(domain)
        save_run(run, folder)
        assert_same(load_run(folder), run)
        with np.load(folder / "arrays.npz") as arrays:
            assert ("shown.phase_images.1" in arrays.files) == (domain == DIGITS)
            assert ("facets.nearest_images.planes" in arrays.files) == (domain == DIGITS)


def test_the_same_files_in_every_domain(tmp_path):
    names = []
    for domain in DOMAINS.values():
        save_run(domain_run(domain), tmp_path / str(domain))
        names.append(list(files_of(tmp_path / str(domain))))
    assert all(found == names[0] for found in names)


def test_a_run_without_a_domain_is_of_rgb(tmp_path):
    """As runs were before there were others."""
    run = domain_run(RGB)
    save_run(run, tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    head = json.loads(path.read_text())
    del head["domain"]
    path.write_text(json.dumps(head))
    assert_same(load_run(tmp_path / "run"), run)


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ("grey", "expected the fields"),
        ({"channels": 0, "low": 0, "high": 1, "kind": "grey"}, "channels=0 must be"),
        ({"channels": 1, "low": "NaN", "high": 1, "kind": "grey"}, "not a domain"),
    ],
)
def test_a_domain_that_is_none(domain, message, tmp_path):
    save_run(domain_run(GREY), tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"domain": domain}))
    for read in (load_run, read_header):
        with pytest.raises(DamagedRunError, match=message):
            read(tmp_path / "run")


@pytest.mark.parametrize("domain", [RGB, STEREO, Domain(1, 0, 1, "depth")], ids=str)
def test_a_domain_that_the_images_are_not_of(domain, tmp_path):
    save_run(domain_run(GREY), tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    named = {"domain": dataclasses.asdict(domain)}
    path.write_text(json.dumps(json.loads(path.read_text()) | named))
    with pytest.raises(DamagedRunError, match=r"is damaged"):
        load_run(tmp_path / "run")


def test_images_that_do_not_exist_must_have_the_lowest_value(tmp_path):
    run = domain_run(SOUNDS)
    images = run.facets.nearest_images.copy()
    images[2, 3, 5, 5] = 0  # loud
    with pytest.raises(ValueError, match=r"nearest_images\[2, 3\] must be black, -80 all over"):
        save_run(replaced(run, "facets", nearest_images=images), tmp_path / "run")


def test_grey_pictures_are_grey(tmp_path):
    for domain in (GREY, DIGITS):
        run = domain_run(domain)
        save_run(run, tmp_path / str(domain))
        scale = 255 / domain.span
        for name, image in {
            "nearest/02_03": run.facets.nearest_images[1, 2],
            "facets/01": run.shown.images[0],
        }.items():
            stored = read_png((tmp_path / str(domain) / f"{name}.png").read_bytes(), mode="L")
            np.testing.assert_allclose(stored, image.astype(float) * scale, atol=0.5001)


def test_low_frequencies_are_drawn_at_the_bottom(tmp_path):
    run = domain_run(SOUNDS)
    means = np.full_like(run.facets.mean_images, -80)
    means[:, 0] = 0  # the lowest frequency is loud
    save_run(replaced(run, "facets", mean_images=means), tmp_path / "run")
    stored = read_png((tmp_path / "run" / "facets" / "01_mean.png").read_bytes()).astype(int)
    assert (stored[-1].sum(-1) > 600).all()
    assert (stored[:-1].sum(-1) < 20).all()


def test_the_look_of_a_channel_is_magma():
    images = scenes(SOUNDS, (2,), (6, 9))
    table = matplotlib.colormaps["magma"]
    expected = table((images[..., 0] + 80) / 80 * (255 / 256) + 1e-9)[..., :3] * 255
    # A step of the table is at most 5 of 255.
    assert np.abs(look(images, SOUNDS).astype(int) - expected[:, ::-1]).max() <= 6
    depth = Domain(1, -80, 0, "depth")
    np.testing.assert_array_equal(look(images, depth), look(images, SOUNDS)[:, ::-1])


def test_the_look_keeps_order():
    """What is higher is lighter, in every domain of one channel."""
    for domain in (GREY, DIGITS, SOUNDS):
        ramp = np.linspace(domain.low, domain.high, 64, dtype=np.float32).reshape(1, 64, 1)
        shown = look(ramp, domain)[0].astype(float) @ [0.299, 0.587, 0.114]
        assert (np.diff(shown) > 0).all()


def test_channels_stand_side_by_side():
    values = np.zeros((2, 8, 10, 5), np.float32)
    for channel in range(5):
        values[..., channel] = channel / 4
    shown = look(values, BANDS)
    assert shown.shape == (2, 2 * 8 + 1, 3 * 10 + 2, 3)
    table = matplotlib.colormaps["magma"](np.linspace(0, 1, 5), bytes=True)[:, :3]
    for channel in range(5):
        row, column = divmod(channel, 3)
        part = shown[:, row * 9 : row * 9 + 8, column * 11 : column * 11 + 10]
        assert np.abs(part.astype(int) - table[channel]).max() <= 5
    assert (shown[:, 8] == 255).all()
    assert (shown[:, 9:, 22:] == 255).all()  # there is no sixth channel
    assert look(scenes(STEREO, (1,), (8, 10)), STEREO).shape == (1, 8, 21, 3)
    assert look(scenes(Domain(3, 0, 1, "x"), (1,), (64, 64)), Domain(3, 0, 1, "x")).shape == (
        *(1, 130, 130),
        3,
    )


def test_rgb_of_another_range_is_scaled():
    unit = Domain(3, -1, 1, "rgb")
    values = np.array([[[-1, 0.2, 1]]], np.float32)
    assert look(values, unit).tolist() == [[[0, 153, 255]]]


def test_pngs_of_both_modes():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    np.testing.assert_array_equal(read_png(png(grey), mode="L"), grey)
    with pytest.raises(ValueError, match="a picture of mode L, not RGB"):
        read_png(png(grey))
