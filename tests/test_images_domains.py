"""Images of any number of channels and range: read, checked, resized, batched."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from mfvjax.domain import GREY, RGB, Domain
from mfvjax.images import (
    ArraySource,
    FileSource,
    ImageSource,
    ResizeRule,
    SelectedSource,
    UnreadableImageError,
    iterate_batches,
    load_images,
    open_images,
)
from tests.domain_networks import BANDS, DIGITS, DOMAINS, SIZE, SOUNDS, STEREO, noise_images
from tests.oracles.triangle_resize import triangle_resize

EVERY = pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """A grey picture, and the same in three channels with a colored one beside it."""
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (9, 12)).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray(np.stack([grey] * 3, -1)).save(tmp_path / "b.png")
    Image.fromarray(rng.integers(0, 256, (9, 12, 3)).astype(np.uint8)).save(tmp_path / "c.png")
    return tmp_path


def test_files_become_grey(folder):
    source = open_images(folder, domain=GREY)
    assert source.domain == GREY
    stored = np.asarray(Image.open(folder / "a.png"))
    for index in (0, 1):
        read = source.read(index)
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read, stored[..., None])
    colored = np.asarray(Image.open(folder / "c.png")).astype(float)
    luma = colored @ [0.299, 0.587, 0.114]
    assert np.abs(source.read(2)[..., 0] - luma).max() <= 0.51


def test_files_reach_from_the_lowest_to_the_highest_value(folder):
    stored = np.asarray(Image.open(folder / "a.png"))
    read = open_images(folder, domain=DIGITS).read(0)
    assert read.dtype == np.float32
    np.testing.assert_allclose(read[..., 0], stored * (16 / 255), rtol=1e-6)
    unit = Domain(3, -1, 1, "rgb")
    colored = np.asarray(Image.open(folder / "c.png")).astype(float)
    read = open_images([folder / "c.png"], domain=unit).read(0)
    np.testing.assert_allclose(read, colored / 127.5 - 1, atol=1e-6)


@pytest.mark.parametrize("domain", [SOUNDS, BANDS, Domain(1, 0, 255, "depth")])
def test_files_hold_no_other_images(folder, domain):
    for source in (folder, folder / "a.png", [folder / "a.png"], "tfds:nothing/train"):
        with pytest.raises(ValueError, match=r"files hold RGB or grey pictures.*one array"):
            open_images(source, domain=domain)


@EVERY
def test_arrays_come_back_as_they_are(domain):
    images = noise_images(domain, 4)
    source = open_images(images, domain=domain)
    assert (source.domain, len(source)) == (domain, 4)
    for index, image in enumerate(images):
        assert source.read(index).dtype == domain.dtype
        np.testing.assert_array_equal(source.read(index), image)


def test_one_channel_needs_no_axis():
    images = noise_images(SOUNDS, 3)
    for given in (images[..., 0], list(images[..., 0]), [images[0], images[1, ..., 0], images[2]]):
        source = open_images(given, domain=SOUNDS)
        found = np.stack([source.read(i) for i in range(3)])
        np.testing.assert_array_equal(found, images)


def test_numbers_of_any_kind_are_taken():
    whole = np.random.default_rng(0).integers(0, 17, (2, 8, 8))
    for dtype in (np.uint8, np.int64, np.float64, np.float16):
        read = open_images(whole.astype(dtype), domain=DIGITS).read(1)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read[..., 0], whole[1])
    fine = np.full((1, 2, 2, 1), 200.3, np.float64)
    assert open_images(fine, domain=GREY).read(0).dtype == np.uint8  # rounded, as RGB is
    depth = open_images(fine, domain=Domain(1, 0, 255, "depth"))
    np.testing.assert_array_equal(depth.read(0), np.float32(200.3))


@pytest.mark.parametrize(
    ("images", "domain", "message"),
    [
        (
            np.zeros((2, 4, 5, 3)),
            GREY,
            r"image 0 has the shape \(4, 5, 3\), but \(height, width, 1\) is needed: the domain is "
            r"grey in \[0, 255\]",
        ),
        (np.zeros((2, 4, 5)), RGB, r"image 0 has the shape \(4, 5\), but \(height, width, 3\)"),
        (np.zeros((2, 4, 5)), STEREO, r"\(height, width, 2\).*spectrogram of 2 channels in"),
        (np.zeros((28, 28, 1)), GREY, r"shape \(28, 28, 1\) may be one image or many"),
        ([np.zeros((4, 4)), np.full((4, 4), "a")], GREY, "image 1 has the dtype <U1"),
    ],
)
def test_arrays_of_another_shape_are_refused(images, domain, message):
    with pytest.raises(ValueError, match=message):
        open_images(images, domain=domain)


@pytest.mark.parametrize(
    ("value", "domain", "message"),
    [
        (0.5, SOUNDS, r"image '1' .*from -8.0 to 0.5, not within \[-80, 0\]: the domain is spectr"),
        (-80.1, SOUNDS, "reach from -80.09"),
        (np.nan, SOUNDS, "reach from nan"),
        (np.inf, BANDS, r"to inf, not within \[0, 1\]: the domain is bands of 5 channels"),
        (17.0, DIGITS, r"not within \[0, 16\]: the domain is grey in \[0, 16\]"),
        (256.0, GREY, r"not within \[0, 255\]"),
    ],
)
def test_arrays_outside_the_range_name_the_image(value, domain, message):
    images = np.full((2, 4, 4, domain.channels), domain.low + domain.span * 0.9, np.float32)
    images[1, 2, 3, -1] = value
    source = open_images(images, domain=domain)
    source.read(0)
    with pytest.raises(UnreadableImageError, match=message):
        source.read(1)


def test_only_grey_levels_can_be_mistaken_for_shares():
    """Values up to 1 are a mistake where black is 0 and white 255, and nowhere else."""
    images = np.full((1, 4, 4, 1), 0.5, np.float32)
    with pytest.raises(UnreadableImageError, match=r"its largest value is 0.5"):
        open_images(images, domain=GREY).read(0)
    assert open_images(images, domain=DIGITS).read(0).max() == 0.5


def test_a_source_of_another_domain_is_refused(folder):
    sounds = ArraySource(noise_images(SOUNDS, 2), SOUNDS)
    selected = SelectedSource(sounds, [1])
    assert selected.domain == SOUNDS
    for source in (sounds, selected):
        assert open_images(source) is source
        assert open_images(source, domain=SOUNDS) is source
        with pytest.raises(
            ValueError,
            match=r"source is spectrogram of 1 channel in \[-80, 0\], but RGB in \[0, 255\] is "
            r"needed: open it with open_images\(..., domain=Domain\(channels=3",
        ):
            open_images(source, domain=RGB)
    with pytest.raises(ValueError, match="but grey in"):
        open_images(FileSource([folder / "a.png"]), domain=GREY)


def test_an_array_file(tmp_path):
    images = noise_images(STEREO, 3)
    np.save(tmp_path / "sounds.npy", images)
    source = open_images(tmp_path / "sounds.npy", domain=STEREO)
    np.testing.assert_array_equal(source.read(2), images[2])
    memory = ArraySource(images, STEREO)
    assert source.fingerprint(2) == memory.fingerprint(2)
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "text.npy").write_text("no array")
    np.save(tmp_path / "number.npy", np.float32(3))
    for name, message in {
        "objects": "holds no array of numbers",
        "text": "holds no array of numbers",
        "number": r"holds an array of the shape \(\), not of images",
    }.items():
        with pytest.raises(ValueError, match=message):
            open_images(str(tmp_path / f"{name}.npy"), domain=STEREO)


@pytest.mark.parametrize("domain", [SOUNDS, STEREO, BANDS], ids=str)
@pytest.mark.parametrize(
    ("shape", "options", "resized"),
    [
        ((40, 60), {}, (20, 30)),
        ((7, 9), {}, (20, 26)),
        ((40, 60), {"resize_shorter": 24}, (24, 36)),
        ((40, 60), {"warp": True}, (20, 20)),
        ((33, 20), {"resize_shorter": None}, (33, 20)),
    ],
)
def test_floats_are_resized_as_floats(domain, shape, options, resized):
    image = noise_images(domain, 1, size=shape)[0]
    found = ResizeRule((20, 20), **options).apply(image)
    top, left = (resized[0] - 20) // 2, (resized[1] - 20) // 2
    expected = triangle_resize(image, resized)[top : top + 20, left : left + 20]
    assert found.dtype == np.float32
    # Pillow has the crop's corners, and the result of each of its two passes, in float32.
    np.testing.assert_allclose(found, expected, atol=2e-6 * domain.span)
    assert len(np.unique(found)) > 0.9 * found.size  # no steps


def test_resized_floats_stay_in_their_range():
    image = np.full((31, 47, 1), np.float32(-80))
    assert set(ResizeRule((20, 20)).apply(image).ravel().tolist()) == {-80.0}
    loud = noise_images(SOUNDS, 1, size=(50, 7))[0]
    found = ResizeRule((64, 64)).apply(loud)
    assert loud.min() <= found.min()
    assert found.max() <= loud.max()


def test_grey_is_resized_as_each_channel_of_rgb():
    grey = noise_images(GREY, 1, size=(40, 60))[0]
    found = ResizeRule((20, 20)).apply(grey)
    assert (found.dtype, found.shape) == (np.uint8, (20, 20, 1))
    np.testing.assert_array_equal(
        np.repeat(found, 3, -1), ResizeRule((20, 20)).apply(np.repeat(grey, 3, -1))
    )


@EVERY
def test_batches_carry_the_domains_values(domain):
    images = noise_images(domain, 5)
    source = ArraySource(images, domain)
    batches = list(iterate_batches(source, size=SIZE, batch_size=3))
    for batch in batches:
        assert batch.images.dtype == domain.dtype
        assert batch.images.shape == (3, *SIZE, domain.channels)
        np.testing.assert_array_equal(batch.images[: batch.count], images[batch.indices])
    assert (batches[1].images[2] == domain.low).all()  # padding
    loaded, _ = load_images(source, [4, 0], size=SIZE)
    assert loaded.dtype == domain.dtype
    np.testing.assert_array_equal(loaded, images[[4, 0]])


class MistakenSource(ImageSource):
    domain = SOUNDS

    def __init__(self, image):
        self.names, self._image = ["sound 1"], image

    def read(self, index):
        return self._image

    def fingerprint(self, index):
        return ""


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4, 1)), np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.float32)]
)
def test_a_source_that_breaks_its_word(image):
    with pytest.raises(TypeError, match=r"image 'sound 1' is float.*but its source is spectrogram"):
        list(iterate_batches(MistakenSource(image), size=(4, 4), batch_size=2))
