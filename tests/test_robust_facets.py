"""Facets among the right images: with their own network, of enough images, within memory."""

import dataclasses
import functools
import importlib
import logging
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfvjax.facets import embed
from mfvjax.facets.discover import discover_facets
from mfvjax.facets.result import Facets
from mfvjax.facets.top import default_top
from mfvjax.facets.tsne import Steps, check_memory
from mfvjax.images import ArraySource, TooManyUnreadableError, open_images
from mfvjax.pipeline import replay, run_facets, run_unit
from mfvjax.pipeline.origin import OtherOriginError, UnknownOriginWarning, check_origin
from mfvjax.pipeline.sources import open_source
from mfvjax.report import run_facts
from mfvjax.report.page import render_page
from mfvjax.store import load_run, save_run
from tests import small_atlas
from tests.tiny_network import tiny_network

FEW = {"num_facets": 2, "num_mean_images": 5}


@pytest.fixture(scope="module")
def network():
    return small_atlas.shared_network()


@pytest.fixture(scope="module")
def tiny_run(network, small_pool):
    options = {"unit": "fc:0", "recipe": small_atlas.recipe(), "controls": False}
    return run_unit(network, small_pool / "class_0", **FEW, **options)


@pytest.fixture
def folder(small_pool, tmp_path):
    """24 images of one class."""
    return shutil.copytree(small_pool / "class_0", tmp_path / "one")


def found(network, images, unit="fc:0", **options):
    return discover_facets(network, images, unit=unit, **FEW, **options)


@pytest.fixture
def facets(network, folder, tmp_path):
    found(network, folder).save(tmp_path / "facets.npz")
    return Facets.load(tmp_path / "facets.npz")


def check(network, images, facets):
    check_origin(network, open_source(images, network=network), facets)


def test_facets_remember_what_they_are_of(network, folder, facets):
    assert facets.origin == found(network, folder).origin
    assert facets.origin.images == str(folder)
    assert (facets.origin.network, facets.origin.num_images) == (network.name, 24)
    assert facets.origin.max_pixels == 50_000_000
    check(network, folder, facets)
    check(network.with_precision("bfloat16"), folder, facets)


def spoil_one_name(folder):
    (folder / "05.png").rename(folder / "05a.png")


def spoil_one_image(folder):
    (folder / "05.png").write_bytes((folder / "06.png").read_bytes())


def take_one_away(folder):
    (folder / "23.png").unlink()


def put_one_in_front(folder):
    shutil.copy(folder / "05.png", folder / "00a.png")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (spoil_one_name, r"image 5 of '.*one' was '05\.png' .*, and is '05a\.png' in '.*one'"),
        (spoil_one_image, r"'.*one' have the names of .* but other contents: give '.*one'"),
        (take_one_away, r"found among 24 images, of '.*one', but '.*one' has 23"),
        (put_one_in_front, r"found among 24 images, of '.*one', but '.*one' has 25"),
    ],
)
def test_other_images_are_refused(change, message, network, folder, facets):
    change(folder)
    with pytest.raises(OtherOriginError, match=message):
        check(network, folder, facets)


def test_an_image_that_went_away_since_is_named(network, folder, facets):
    source = open_images(folder)
    take_one_away(folder)
    with pytest.raises(OtherOriginError, match=r"of the images of the facets, image '23\.png'"):
        check_origin(network, source, facets)


def test_another_network_of_equal_layers_is_refused(folder, facets):
    other = tiny_network(seed=1)
    message = "found with network '.*' .fingerprint .*, but '.*' is another one"
    with pytest.raises(OtherOriginError, match=message):
        check(other, folder, facets)


def test_it_is_seen_before_any_work(network, folder, facets, monkeypatch):
    module = importlib.import_module("mfvjax.pipeline.run_unit")

    def work(*_):
        raise InterruptedError("at work")

    monkeypatch.setattr(module, "read_pictures", work)
    with pytest.raises(InterruptedError):
        run_facets(network, folder, facets)
    take_one_away(folder)
    with pytest.raises(OtherOriginError):
        run_facets(network, folder, facets)


def test_older_facets_are_taken_with_a_warning_but_not_with_other_names(
    network, folder, facets, tmp_path
):
    dataclasses.replace(facets, origin=None).save(tmp_path / "old.npz")
    old = Facets.load(tmp_path / "old.npz")
    assert old.origin is None
    with pytest.warns(UnknownOriginWarning, match="only the names of the images are compared"):
        check(network, folder, old)
    take_one_away(folder)
    with (
        pytest.warns(UnknownOriginWarning),
        pytest.raises(OtherOriginError, match=r"image 23 .* was '23\.png' .*, and is none in"),
    ):
        check(network, folder, old)


@pytest.fixture
def run(command_line):
    """The command line, what it says on standard error in one line."""

    def with_arguments(*arguments):
        code, out, err = command_line(*arguments)
        return code, out, " ".join(err.replace("│", " ").split())

    return with_arguments


def test_visualize_does_not_take_other_images_in_silence(run, facets, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    code, _, err = run("visualize", tmp_path / "facets.npz")
    assert code == 2
    assert "found among 24 images, of '" in err
    assert "name these images again" in err
    code, _, err = run("visualize", tmp_path / "facets.npz", "-i", tmp_path / "one")
    assert code == 1
    assert "is another one" in err  # compact is not the tiny network


@pytest.mark.parametrize("pool", [10, 50, 72, 1000, 2499, 2501, 50_000])
@pytest.mark.parametrize("least", [5, 100])
def test_how_many_a_hidden_unit_takes(pool, least):
    two_percent = sum(1 for image in range(pool) if image % 50 == 0)
    expected = sorted([two_percent, 50, least])[-1]
    assert abs(default_top(pool, least=least) - min(expected, pool)) <= 1  # rounded
    assert default_top(pool, least=least) <= pool


def test_a_hidden_unit_takes_the_top_of_its_pool_and_says_so(network, small_pool, caplog):
    caplog.set_level(logging.INFO, logger="mfvjax")
    few = found(network, small_pool, "conv2:4")
    assert len(few.names) == few.options["top_count"] == 50
    assert few.options["top_fraction"] is None
    assert "conv2:4 is a hidden unit: of 72 images the 50 that activate it most" in caplog.text
    asked = found(network, small_pool, "conv2:4", top_count=50)
    assert asked.names == few.names
    caplog.clear()
    for unit, options in (("conv2:4", {"top_fraction": "all"}), ("fc:0", {})):
        everything = found(network, small_pool, unit, **options)
        assert len(everything.names) == 72
        assert everything.options["top_fraction"] == "all"
    assert caplog.text == ""
    with pytest.raises(ValueError, match='top_fraction="all" and top_count=9: give one of them'):
        found(network, small_pool, "conv2:4", top_fraction="all", top_count=9)


def test_many_facets_of_a_hidden_unit_take_more(network, small_pool):
    options = {"num_facets": 12, "num_mean_images": 5}
    assert len(discover_facets(network, small_pool, unit="conv2:4", **options).names) == 60


def test_a_small_pool_is_taken_whole(network, folder):
    assert len(found(network, folder, "conv2:4").names) == 24


@pytest.mark.parametrize(
    ("stored", "expected"),
    [({}, "all"), ({"top_count": 9}, None), ({"top_fraction": 0.5}, 0.5)],
)
def test_old_runs_replay_with_the_images_they_had(stored, expected, tiny_run, monkeypatch):
    heard = {}

    def run_unit(network, images, **options):
        heard.update(options)
        return tiny_run

    module = importlib.import_module("mfvjax.pipeline.replay")
    monkeypatch.setattr(module, "run_unit", functools.wraps(module.run_unit)(run_unit))
    run = tiny_run
    options = {
        **run.options,
        "network": "tiny",
        "recipe": None,
        "discovery": stored,
        "unreadable": {"count": 1, "of": 9, "first": []},
    }
    replay(dataclasses.replace(run, options=options))
    assert heard.get("top_fraction") == expected
    assert heard["max_unreadable"] == 1.0
    assert "unreadable" not in heard


class Unread(ArraySource):
    """Images that nobody is to read."""

    def read(self, index):
        raise AssertionError("an image was read before it was known that there are too many")


@pytest.mark.parametrize(("unit", "options"), [("fc:0", {}), ("conv2:4", {"top_count": 60})])
def test_a_map_without_memory_is_refused_before_anything_is_read(
    unit, options, network, monkeypatch
):
    module = importlib.import_module("mfvjax.facets.tsne")
    monkeypatch.setattr(module, "free_bytes", lambda device: 20 * 60**2 - 1)
    source = Unread(np.zeros((60, 24, 24, 3), np.uint8))
    message = r"a map of 60 images needs 0\.0 GiB.* are free: take those .*--top"
    with pytest.raises(MemoryError, match=message):
        found(network, source, unit, **options)


def test_an_atlas_is_refused_before_anything_is_read_too(tmp_path, monkeypatch):
    module = importlib.import_module("mfvjax.facets.tsne")
    monkeypatch.setattr(module, "free_bytes", lambda device: 20 * 60**2 - 1)
    source = Unread(np.zeros((60, 24, 24, 3), np.uint8))
    with pytest.raises(MemoryError, match="a map of 60 images"):
        small_atlas.build(
            tmp_path / "a", source, units=["conv2:4"], top_count=60, devices=jax.devices()[:1]
        )


def test_other_ways_need_no_memory_for_pairs(network, folder, monkeypatch):
    module = importlib.import_module("mfvjax.facets.tsne")
    monkeypatch.setattr(module, "free_bytes", lambda device: 0)
    with pytest.raises(MemoryError):
        found(network, folder)
    with pytest.raises(MemoryError):
        embed.embed_codes(jax.random.key(0), np.eye(9, dtype=np.float32))
    embed.check_map(10**9, embed.EmbedOptions(method="scikit-learn"))


def test_maps_need_what_is_said(monkeypatch):
    """The compiled program's own account of its memory."""
    count = 2048
    steps = Steps.of(count, perplexity=30.0, num_iterations=1000, num_exaggerated=500)
    arguments = jnp.zeros((count, 64)), jnp.ones(count, bool), None, steps
    compiled = embed._embed.lower(*arguments, num_components=50).compile()
    needed = compiled.memory_analysis().temp_size_in_bytes
    module = importlib.import_module("mfvjax.facets.tsne")
    device = jax.local_devices()[0]
    monkeypatch.setattr(module, "free_bytes", lambda _: needed)
    with pytest.raises(MemoryError, match=r"a map of 2048 images needs 0\.1 GiB"):
        check_memory(count, device=device)
    monkeypatch.setattr(module, "free_bytes", lambda _: int(1.3 * needed))
    check_memory(count, device=device)
    with pytest.raises(MemoryError):
        check_memory(count, units_at_once=2, device=device)


def break_images(folder, count):
    for number in range(count):
        (folder / f"broken{number}.jpg").write_bytes(b"no image")


def test_unreadable_images_are_on_the_page_in_numbers_and_replayed(
    network, folder, tmp_path, caplog
):
    break_images(folder, 2)
    options = {**FEW, "unit": "fc:0", "recipe": small_atlas.recipe(), "controls": False}
    run = run_unit(network, folder, **options)
    assert "2 of 26 images cannot be read: broken0.jpg: it is none of JPEG" in caplog.text
    told = run.options["unreadable"]
    assert (told["count"], told["of"], len(told["first"])) == (2, 26, 2)
    assert run_facts(run)["unreadable"] == told
    page = render_page(run)
    assert '<a href="#unreadable">2 of 26 images could not be read</a>' in page
    assert "<li>broken1.jpg: it is none of JPEG" in page
    save_run(run, tmp_path / "run")
    stored = load_run(tmp_path / "run")
    again = replay(stored, network=network, recipe=small_atlas.recipe())
    assert again.options["unreadable"] == told
    np.testing.assert_array_equal(again.shown.images, run.shown.images)


def test_a_page_without_unreadable_images_says_nothing_of_them(tiny_run):
    assert "unreadable" not in tiny_run.options
    assert "could not be read" not in render_page(tiny_run)


def test_too_many_unreadable_images_stop_a_run(network, folder):
    break_images(folder, 3)
    message = r"at least 3 of 27 images cannot be read: broken0\.jpg: it is none of"
    with pytest.raises(TooManyUnreadableError, match=message):
        found(network, folder)
    assert len(found(network, folder, max_unreadable=0.2).skipped) == 3
    with pytest.raises(TooManyUnreadableError):
        found(network, folder, "conv2:4", top_count=20)


def test_kept_codes_do_not_get_around_the_limit(network, folder, tmp_path):
    break_images(folder, 3)
    cached = {"cache_dir": tmp_path / "codes"}
    assert len(found(network, folder, max_unreadable=0.5, **cached).skipped) == 3
    with pytest.raises(TooManyUnreadableError, match="3 of 27"):
        found(network, folder, **cached)


def test_max_pixels_reaches_the_run_and_what_comes_after(network, folder, monkeypatch):
    options = {**FEW, "unit": "fc:0", "recipe": small_atlas.recipe(), "controls": False}
    with pytest.raises(TooManyUnreadableError, match="24 x 24 pixels are more than max_pixels=575"):
        run_unit(network, folder, max_pixels=575, **options)
    run = run_unit(network, folder, max_pixels=576, **options)
    assert run.options["max_pixels"] == 576
    facets = found(network, open_source(folder, network=network, max_pixels=576))
    assert facets.origin.max_pixels == 576
    opened = []

    def checked(network, source, facets):
        opened.append(source.decoding.max_pixels)
        raise InterruptedError("seen")

    monkeypatch.setattr(
        importlib.import_module("mfvjax.pipeline.run_unit"), "check_origin", checked
    )
    with pytest.raises(InterruptedError):
        run_facets(network, folder, facets)
    assert opened == [576]


def test_an_atlas_tells_of_unreadable_images_and_stops_at_too_many(small_pool, tmp_path, caplog):
    pool = shutil.copytree(small_pool, tmp_path / "pool")
    break_images(pool / "class_1", 3)
    devices = jax.devices("cpu")[:1]
    make = functools.partial(small_atlas.build, pool=pool, units=["fc:1"], devices=devices)
    atlas = make(tmp_path / "atlas", max_unreadable=0.2)
    page = atlas.index.read_text()
    assert "<summary>3 images could not be read</summary>" in page
    assert "class_1/broken2.jpg: it is none of JPEG" in page
    assert "3 of 27 images cannot be read" in caplog.text
    run = load_run(atlas.folder / "units" / "fc-0001")
    assert (run.options["unreadable"]["count"], run.options["unreadable"]["of"]) == (3, 27)
    with pytest.raises(TooManyUnreadableError, match="at least 3 of 27"):
        make(tmp_path / "other")
    with pytest.raises(ValueError, match="max_unreadable=7 must be a share"):
        make(tmp_path / "third", max_unreadable=7)


def test_options_on_the_command_line(run, folder, tmp_path, monkeypatch):
    file = tmp_path / "f.npz"
    break_images(folder, 3)
    job = ["facets", file, "-i", folder, "-u", "fc8:2", "-k", "2", "--mean-images", "5"]
    code, _, err = run(*job)
    assert code == 1
    assert "3 of 27 images cannot be read" in err
    assert not file.exists()
    code, out, err = run(*job, "--max-unreadable", "20%", "--json")
    assert code == 0
    assert '"count": 3' in out
    assert err.startswith("mfvjax: warning: 3 of 27 images cannot be read: broken0.jpg")
    monkeypatch.setenv("COLUMNS", "300")
    for share in ("many", "120%", "-1"):
        code, _, err = run(*job, "--max-unreadable", share)
        assert code == 2
        assert f"'{share}' is no share, as 10% or 0.1" in err
    code, _, err = run(*job, "--max-pixels", "5")
    assert code == 1
    assert "are more than max_pixels=5" in err
    assert run(*job, "--max-unreadable", "0.2", "--top", "all", "-q")[0] == 0
    code, _, err = run("atlas", "-i", folder, "--top", "all")
    assert code == 2
    assert "an atlas takes a share, as 100%, or a number" in err
