"""Folders, lists, arrays and selections: what they hold, in which order, and what they refuse."""

import hashlib
import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from mfvjax.images import (
    ArraySource,
    Decoding,
    FileSource,
    ImageSource,
    SelectedSource,
    UnreadableImageError,
    fingerprints,
    open_images,
)


def level_picture(level: int) -> np.ndarray:
    return np.full((6, 8, 3), level, np.uint8)


def save(path: pathlib.Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(level_picture(level)).save(path)


@pytest.fixture
def nested(tmp_path: pathlib.Path) -> pathlib.Path:
    """Two classes, one with a folder in it, and much that is no image."""
    save(tmp_path / "b_class" / "2.png", 20)
    save(tmp_path / "b_class" / "10.PNG", 10)
    save(tmp_path / "a_class" / "deeper" / "one.png", 1)
    save(tmp_path / "a_class" / ".hidden.png", 99)
    save(tmp_path / ".cache" / "hidden.png", 99)
    (tmp_path / "a_class" / "notes.txt").write_text("no image")
    (tmp_path / "empty.png").mkdir()
    return tmp_path


def levels_of(source: ImageSource) -> list[int]:
    return [int(source.read(index)[0, 0, 0]) for index in range(len(source))]


def test_hashes_of_many_images_are_those_of_their_files(nested):
    source = open_images(nested)
    expected = [
        hashlib.sha256((nested / source.names[index]).read_bytes()).hexdigest()
        for index in (2, 0, 2)
    ]
    assert fingerprints(source, [2, 0, 2]) == expected
    (nested / "b_class" / "2.png").unlink()
    with pytest.raises(UnreadableImageError, match=r"b_class/2\.png"):
        fingerprints(source, [0, 2])


def test_nested_folder(nested):
    source = open_images(nested)
    assert list(source.names) == ["a_class/deeper/one.png", "b_class/10.PNG", "b_class/2.png"]
    assert list(source.labels) == ["a_class", "b_class", "b_class"]
    assert levels_of(source) == [1, 10, 20]


def test_flat_folder_has_no_labels(nested):
    source = open_images(str(nested / "b_class"))
    assert list(source.names) == ["10.PNG", "2.png"]
    assert source.labels is None


def test_images_beside_class_folders_have_the_empty_label(nested):
    save(nested / "z.png", 30)
    assert list(open_images(nested).labels) == ["a_class", "b_class", "b_class", ""]


def test_linked_folders_are_followed_and_cycles_end(nested, tmp_path):
    save(tmp_path / "elsewhere" / "far.png", 40)
    root = tmp_path / "root"
    root.mkdir()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "cycle").symlink_to(root)
    assert list(open_images(root).names) == ["linked/far.png"]


def test_list_of_files_keeps_its_order_and_its_names(nested):
    paths = [nested / "b_class" / "2.png", str(nested / "b_class" / "10.PNG")]
    source = open_images(paths)
    assert list(source.names) == [pathlib.Path(path).as_posix() for path in paths]
    assert levels_of(source) == [20, 10]
    assert levels_of(open_images(paths[0])) == [20]


def test_fingerprint_is_the_hash_of_the_file(nested):
    source = open_images(nested)
    expected = hashlib.sha256((nested / "b_class" / "2.png").read_bytes()).hexdigest()
    assert source.fingerprint(2) == expected


def test_decoding_options_reach_the_decoder(nested):
    source = open_images(nested, decoding=Decoding(max_pixels=47))
    with pytest.raises(UnreadableImageError, match=r"a_class/deeper/one\.png.*max_pixels=47"):
        source.read(0)


def test_arrays():
    batch = np.stack([level_picture(3), level_picture(4)])
    source = open_images(batch)
    assert isinstance(source, ArraySource)
    assert list(source.names) == ["0", "1"]
    assert source.labels is None
    assert levels_of(source) == [3, 4]
    listed = open_images([level_picture(3), np.zeros((9, 5, 3), np.uint8)])
    assert listed.read(1).shape == (9, 5, 3)


def test_float_arrays_are_rounded_and_never_wrap():
    images = np.array([[[[254.6, 0.4, 1.5]]]], np.float32)
    assert open_images(images).read(0).tolist() == [[[255, 0, 2]]]


def test_fingerprints_of_arrays_tell_shape_dtype_and_values_apart():
    zeros = np.zeros((2, 3, 3), np.uint8)
    others = [zeros.reshape(3, 2, 3), zeros.view(np.int8), np.ones_like(zeros), zeros]
    prints = [ArraySource([image]).fingerprint(0) for image in others]
    assert len(set(prints)) == 4
    assert prints[3] == ArraySource([zeros.copy()]).fingerprint(0)


@pytest.mark.parametrize(
    ("level", "message"),
    [
        (256.0, r"image '0' cannot be read: its values reach from 256.0 to 256.0"),
        (-1.0, "not within"),
        (np.nan, "reach from nan to nan"),
        (0.5, r"its largest value is 0.5: levels are in \[0, 255\], not \[0, 1\]"),
    ],
)
def test_arrays_outside_the_grey_levels(level, message):
    source = open_images(np.full((1, 2, 2, 3), level, np.float32))
    with pytest.raises(UnreadableImageError, match=message):
        source.read(0)


def test_selection(nested):
    source = SelectedSource(open_images(nested), [2, 0])
    assert list(source.names) == ["b_class/2.png", "a_class/deeper/one.png"]
    assert list(source.labels) == ["b_class", "a_class"]
    assert levels_of(source) == [20, 1]
    assert source.fingerprint(0) == open_images(nested).fingerprint(2)
    assert SelectedSource(ArraySource([level_picture(1)]), [0]).labels is None
    with pytest.raises(IndexError, match="image index 3 is outside the source of 3"):
        SelectedSource(open_images(nested), [3])


def test_a_source_passes_through(nested):
    source = open_images(nested)
    assert open_images(source) is source


def make_pipe(folder: pathlib.Path) -> pathlib.Path:
    os.mkfifo(folder / "pipe.png")
    return folder / "pipe.png"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: folder / "gone.png", "the file does not exist"),
        (make_pipe, "it is not a file"),
        (lambda folder: folder / "empty.png", "it is not a file"),
    ],
)
def test_files_that_cannot_be_read_are_named(nested, make, reason):
    path = make(nested)
    with pytest.raises(UnreadableImageError, match=f"{path.name}.*{reason}"):
        FileSource([path]).read(0)
    with pytest.raises(UnreadableImageError, match=reason):
        FileSource([path]).fingerprint(0)


def test_a_file_that_may_not_be_read_is_named(nested, monkeypatch):
    def refuse(path: pathlib.Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(pathlib.Path, "read_bytes", refuse)
    with pytest.raises(UnreadableImageError, match=r"one\.png.*Permission denied"):
        open_images(nested).read(0)


def test_a_giant_file_is_not_read_at_all(tmp_path):
    with open(tmp_path / "sparse.png", "wb") as file:
        file.truncate(10**10)
    with pytest.raises(UnreadableImageError, match=r"sparse\.png.*10000000000 bytes are more"):
        FileSource([tmp_path / "sparse.png"]).read(0)


def test_a_folder_that_may_not_be_listed(nested, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="Permission denied"):
        open_images(nested)


@pytest.mark.parametrize(
    ("source", "options", "error", "message"),
    [
        ("nowhere/at/all", {}, FileNotFoundError, "there is no file or folder 'nowhere/at/all'"),
        (np.zeros((0, 2, 2, 3)), {}, ValueError, "there are no images"),
        ([], {}, ValueError, "there are no images"),
        (np.zeros((4, 4, 3)), {}, ValueError, r"image 0 has the shape \(4, 3\)"),
        (np.zeros((1, 4, 4, 1)), {}, ValueError, r"image 0 has the shape \(4, 4, 1\)"),
        ([np.full((2, 2, 3), "a")], {}, ValueError, "image 0 has the dtype <U1, not numbers"),
        (np.zeros((1, 4, 4, 3)), {"data_dir": "here"}, ValueError, "data_dir='here' applies to"),
        (
            np.zeros((1, 4, 4, 3)),
            {"decoding": Decoding()},
            ValueError,
            "as max_pixels, applies to files",
        ),
    ],
)
def test_sources_that_are_refused(source, options, error, message):
    with pytest.raises(error, match=message):
        open_images(source, **options)


def test_something_else_is_refused():
    # The annotation refuses it first where signatures are checked; without, the function does.
    function = getattr(open_images, "__wrapped__", open_images)
    with pytest.raises(TypeError, match="images cannot come from a int"):
        function(3)


def test_folder_without_images(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(ValueError, match=r"holds no image \(\.avif .* \.webp\)"):
        open_images(tmp_path)


def test_folder_that_is_a_file(nested):
    with pytest.raises(NotADirectoryError):
        FileSource.from_folder(nested / "b_class" / "2.png")


def test_lists_must_match():
    with pytest.raises(ValueError, match="1 labels for 2 image files"):
        FileSource(["a.png", "b.png"], labels=["one"])
    with pytest.raises(ValueError, match="3 names for 2 image files"):
        FileSource(["a.png", "b.png"], names=["one", "two", "three"])
    with pytest.raises(ValueError, match="the list of image files is empty"):
        FileSource([])
