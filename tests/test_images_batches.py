"""The resize rule, and batches: their order, their padding, their reports and their memory."""

import gc
import threading
import time

import numpy as np
import pytest
from PIL import Image

from mfvjax.images import (
    ArraySource,
    ImageSource,
    ResizeRule,
    UnreadableImageError,
    iterate_batches,
    load_images,
    open_images,
)
from tests.oracles.triangle_resize import triangle_resize


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3))
    return levels.astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "options", "resized"),
    [
        ((40, 60), {}, (20, 30)),
        ((60, 41), {}, (29, 20)),  # 60 * 20 / 41 = 29.27
        ((7, 9), {}, (20, 26)),  # enlarged: 9 * 20 / 7 = 25.7
        ((40, 60), {"resize_shorter": 24}, (24, 36)),
        ((40, 60), {"resize_shorter": None}, (40, 60)),
        ((40, 16), {"resize_shorter": None}, (50, 20)),  # only just enlarged
        ((40, 60), {"warp": True}, (20, 20)),
        ((40, 60), {"warp": True, "resize_shorter": 24}, (24, 24)),
        ((20, 20), {}, (20, 20)),
        ((20, 35), {}, (20, 35)),
    ],
)
def test_rule_equals_whole_resize_then_crop(shape, options, resized):
    """The rule computes only the crop; the oracle resizes everything in float64 first."""
    image = noise(*shape)
    rule = ResizeRule((20, 20), **options)
    assert rule.resized(shape) == resized
    top, left = (resized[0] - 20) // 2, (resized[1] - 20) // 2
    expected = triangle_resize(image, resized)[top : top + 20, left : left + 20]
    # Pillow rounds after each of its two passes.
    assert np.abs(rule.apply(image) - expected).max() <= 1.01


def test_crop_that_is_not_square():
    image = noise(30, 100)
    rule = ResizeRule((12, 30))
    assert rule.resized((30, 100)) == (12, 40)
    expected = triangle_resize(image, (12, 40))[:, 5:35]
    assert np.abs(rule.apply(image) - expected).max() <= 1.01


def test_crop_without_resizing_copies_pixels():
    image = noise(23, 31)
    assert np.array_equal(ResizeRule((20, 20), None).apply(image), image[1:21, 5:25])


def test_a_very_long_image_costs_no_more_than_its_crop():
    """Whole, the resized image would have 227 x 9 million pixels."""
    start = time.process_time()
    assert ResizeRule((227, 227)).apply(noise(1, 40_000)).shape == (227, 227, 3)
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (0, 4)}, r"each at least 1, not \(0, 4\)"),
        ({"size": (20, 30), "resize_shorter": 29}, "resize_shorter=29 must be at least"),
        ({"size": (20, 30), "resize_shorter": None, "warp": True}, "warp=True needs"),
    ],
)
def test_rules_that_are_not_possible(options, message):
    with pytest.raises(ValueError, match=message):
        ResizeRule(**options)


class SlowSource(ImageSource):
    """Images that say their index; takes its time, breaks where told, and counts."""

    def __init__(self, count: int, *, broken: frozenset[int] = frozenset(), delay: float = 0.002):
        self.names = [f"image {index}" for index in range(count)]
        self.broken, self.delay = broken, delay
        self.lock = threading.Lock()
        self.started = 0
        self.threads: set[str] = set()

    def read(self, index: int) -> np.ndarray:
        with self.lock:
            self.started += 1
            self.threads.add(threading.current_thread().name)
        # Later images are often done earlier than the ones before them.
        time.sleep(self.delay * (1 + (7 * index) % 5))
        if index in self.broken:
            raise UnreadableImageError(self.names[index], "it is broken")
        return np.full((4, 4, 3), index, np.uint8)

    def fingerprint(self, index: int) -> str:
        return str(index)


def test_batches_come_in_order_and_are_padded():
    batches = list(iterate_batches(SlowSource(10), size=(4, 4), batch_size=4, num_workers=3))
    assert [batch.indices.tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [batch.count for batch in batches] == [4, 4, 2]
    for batch in batches:
        assert batch.images.shape == (4, 4, 4, 3)
        assert (batch.images[: batch.count] == batch.indices[:, None, None, None]).all()
        assert not batch.images[batch.count :].any()


def test_chosen_images_in_the_order_asked_for():
    batches = iterate_batches(SlowSource(9), size=(4, 4), batch_size=2, indices=[8, 0, 3])
    assert [batch.indices.tolist() for batch in batches] == [[8, 0], [3]]


@pytest.mark.parametrize("broken", [{0}, {3, 4}, {9}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}])
def test_broken_images_are_reported_once_and_batches_stay_full(broken):
    source = SlowSource(10, broken=frozenset(broken), delay=0)
    batches = list(iterate_batches(source, size=(4, 4), batch_size=4))
    kept = [index for batch in batches for index in batch.indices]
    assert kept == [index for index in range(10) if index not in broken]
    assert all(batch.count == 4 for batch in batches[:-1])
    skipped = [image for batch in batches for image in batch.skipped]
    assert {image.index for image in skipped} == broken
    assert str(skipped[0]) == f"image {min(broken)}: it is broken"
    assert len(skipped) == len(broken)


def test_broken_images_are_refused_if_asked():
    source = SlowSource(10, broken=frozenset({5}))
    batches = iterate_batches(source, size=(4, 4), batch_size=4, on_error="raise")
    assert next(batches).count == 4
    with pytest.raises(UnreadableImageError, match="image 'image 5' cannot be read: it is broken"):
        next(batches)


def test_decoding_is_parallel_and_runs_ahead_but_not_far():
    source = SlowSource(400)
    batches = iterate_batches(source, size=(4, 4), batch_size=5, num_workers=4)
    next(batches)
    assert source.started <= 5 + 10
    # The device's turn: decoding goes on meanwhile, up to two batches.
    deadline = time.monotonic() + 60
    while source.started < 5 + 9 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert 5 + 9 <= source.started <= 5 + 10
    next(batches)
    assert source.started <= 10 + 10
    assert len(source.threads) == 4
    batches.close()


def test_threads_end_when_the_caller_stops_early():
    def decoders() -> int:
        return sum(thread.name.startswith("mfvjax-decode") for thread in threading.enumerate())

    batches = iterate_batches(SlowSource(200), size=(4, 4), batch_size=5)
    next(batches)
    assert decoders() > 0
    del batches
    gc.collect()
    assert decoders() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size=0 and num_workers=3 must be >= 1"),
        ({"num_workers": 0}, "batch_size=2 and num_workers=0 must be >= 1"),
        ({"resize_shorter": 2}, "resize_shorter=2 must be at least"),
    ],
)
def test_wrong_options_are_told_at_once(options, message):
    options = {"size": (4, 4), "batch_size": 2, "num_workers": 3} | options
    with pytest.raises(ValueError, match=message):
        iterate_batches(SlowSource(3), **options)


@pytest.mark.parametrize("index", [-1, 3])
def test_indices_outside_the_source(index):
    with pytest.raises(IndexError, match=f"image index {index} is outside the source of 3 images"):
        load_images(SlowSource(3), [0, index], size=(4, 4))


def test_wrong_on_error_is_told():
    function = getattr(iterate_batches, "__wrapped__", iterate_batches)
    with pytest.raises(ValueError, match="on_error must be 'skip' or 'raise', not 'ignore'"):
        function(SlowSource(3), size=(4, 4), batch_size=2, on_error="ignore")


def test_load_images_reports_what_it_skipped():
    source = SlowSource(6, broken=frozenset({1, 4}), delay=0)
    images, report = load_images(source, [5, 4, 1, 0], size=(4, 4), on_error="skip")
    assert images[:, 0, 0, 0].tolist() == report.indices.tolist() == [5, 0]
    assert [image.index for image in report.skipped] == [4, 1]
    with pytest.raises(UnreadableImageError, match="'image 4'"):
        load_images(source, [5, 4, 1, 0], size=(4, 4))


def test_load_all_images_with_a_rule():
    images = [noise(9, 14, seed) for seed in range(3)]
    loaded, report = load_images(ArraySource(images), size=(8, 8), resize_shorter=None)
    assert report.skipped == ()
    assert all(np.array_equal(a, b[:8, 3:11]) for a, b in zip(loaded, images, strict=True))
    warped, _ = load_images(ArraySource(images), size=(8, 8), warp=True)
    assert np.abs(warped[1] - triangle_resize(images[1], (8, 8))).max() <= 1.01


def test_real_photographs_equal_a_plain_pillow_pipeline(data_dir):
    """Grey files among them; shorter side 256, crop 227, the whole image resized first."""
    source = open_images(data_dir / "images" / "imagenette" / "n03028079")
    indices = list(range(0, len(source), len(source) // 12))
    loaded, _ = load_images(source, indices, size=(227, 227), resize_shorter=256)
    for index, image in zip(indices, loaded, strict=True):
        path = data_dir / "images" / "imagenette" / "n03028079" / source.names[index]
        with Image.open(path) as picture:
            whole = picture.convert("RGB").resize((256, 256), Image.Resampling.BILINEAR)
        expected = np.asarray(whole.crop((14, 14, 241, 241)), np.int32)
        assert np.abs(image - expected).max() <= 1
