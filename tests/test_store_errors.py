"""Run folders that are missing, damaged, foreign, or not to be touched: each says what is wrong."""

import errno
import json
import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from mfvjax.store import (
    DamagedRunError,
    NotARunError,
    RunExistsError,
    RunWriteError,
    UnknownVersionError,
    arrays,
    is_finished,
    load_run,
    open_run_folder,
    read_header,
    save_run,
    write_run,
)
from mfvjax.store.files import record
from mfvjax.store.pictures import png
from tests.run_example import example_run


@pytest.fixture
def run_folder(tmp_path):
    save_run(example_run(), tmp_path / "run")
    return tmp_path / "run"


def edit_header(folder, change):
    head = json.loads((folder / "run.json").read_text())
    change(head)
    (folder / "run.json").write_text(json.dumps(head))


def resign(folder, name, data):
    """Replaces a file and its record: damage that no hash can tell."""
    (folder / name).write_bytes(data)
    edit_header(folder, lambda head: head["files"].update({name: record(data)}))


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("name", ["arrays.npz", "facets/02_mean.png", "nearest/01_01.png"])
def test_a_flipped_bit_is_found_and_named(name, run_folder):
    flip_a_bit(run_folder / name)
    with pytest.raises(DamagedRunError, match=rf"run/{name} is damaged: .*SHA-256 differs"):
        load_run(run_folder)
    assert is_finished(run_folder)  # cheap: it looks at sizes only


@pytest.mark.parametrize("name", ["arrays.npz", "facets/02_mean.png", "nearest/01_01.png"])
def test_a_missing_or_short_file_is_named(name, run_folder):
    data = (run_folder / name).read_bytes()
    (run_folder / name).write_bytes(data[:-1])
    wrong_size = rf"run/{name} is damaged: {len(data) - 1} bytes, the run wrote {len(data)}"
    with pytest.raises(DamagedRunError, match=wrong_size):
        load_run(run_folder)
    assert not is_finished(run_folder)
    (run_folder / name).unlink()
    with pytest.raises(DamagedRunError, match=rf"run/{name} is missing"):
        load_run(run_folder)
    assert not is_finished(run_folder)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda h: h.update(format="other"), NotARunError, "format is not 'mfvjax-run'"),
        (lambda h: h.update(version=2), UnknownVersionError, "version 2 .* newer mfvjax"),
        (lambda h: h.pop("version"), UnknownVersionError, "version None"),
        (lambda h: h.pop("scores"), DamagedRunError, "lacks scores"),
        (lambda h: h.update(files=[]), DamagedRunError, "not listed by name"),
        (lambda h: h["files"].update({"../x": {}}), DamagedRunError, "'../x' is not a file of"),
        (lambda h: h["files"].update({"/etc/x": {}}), DamagedRunError, "'/etc/x' is not a file"),
        (lambda h: h["files"].update({"a": {"bytes": 1}}), DamagedRunError, "hash of 'a' are miss"),
        (lambda h: h["files"].pop("arrays.npz"), DamagedRunError, "does not list arrays.npz"),
        (
            lambda h: h["scores"].update(a=["high"]),
            DamagedRunError,
            "scores.a is .'high'.; it must",
        ),
        (lambda h: h.update(real=None), DamagedRunError, "real is None; it must"),
    ],
)
def test_a_wrong_header_is_refused(change, error, message, run_folder):
    edit_header(run_folder, change)
    with pytest.raises(error, match=message):
        load_run(run_folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"format": "mfvjax-run", ', "is not JSON"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"[" * 100_000, "is not JSON"),
    ],
)
def test_an_unreadable_header_is_damage(text, message, run_folder):
    (run_folder / "run.json").write_bytes(text)
    with pytest.raises(DamagedRunError, match=message):
        load_run(run_folder)
    assert not is_finished(run_folder)


def test_no_run_at_all(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("text")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "run.json").write_text("[1]")
    for name, message in {
        "missing": "missing does not exist",
        "empty": r"empty holds no run: it has no run\.json",
        "file": "file is a file, not a run folder",
        "other": "format is not",
    }.items():
        with pytest.raises(NotARunError, match=message):
            load_run(tmp_path / name)
        with pytest.raises(NotARunError, match=message):
            read_header(tmp_path / name)
        assert not is_finished(tmp_path / name)


def test_nothing_is_unpickled(run_folder, tmp_path):
    class Bomb:
        def __reduce__(self):
            return pathlib.Path.touch, (tmp_path / "exploded",)

    np.savez(tmp_path / "bomb.npz", **{"real.map": np.array([Bomb()])})
    resign(run_folder, "arrays.npz", (tmp_path / "bomb.npz").read_bytes())
    with pytest.raises(DamagedRunError, match="allow_pickle=False"):
        load_run(run_folder)
    assert not (tmp_path / "exploded").exists()
    with pytest.raises(ValueError, match="allow_pickle=False"):
        arrays.pack({"a": np.array([Bomb()])})


def test_files_of_another_kind_behind_right_hashes(run_folder):
    picture = (run_folder / "nearest" / "01_01.png").read_bytes()
    resign(run_folder, "nearest/01_01.png", png(np.zeros((4, 5, 3))))
    with pytest.raises(DamagedRunError, match=r"01_01.png: a picture of the size \(4, 5\)"):
        load_run(run_folder)
    Image.new("L", (32, 32)).save(run_folder / "grey.png")
    resign(run_folder, "nearest/01_01.png", (run_folder / "grey.png").read_bytes())
    with pytest.raises(DamagedRunError, match="mode L, not RGB"):
        load_run(run_folder)
    resign(run_folder, "nearest/01_01.png", b"text")
    with pytest.raises(DamagedRunError, match="not a PNG picture: cannot identify"):
        load_run(run_folder)
    resign(run_folder, "nearest/01_01.png", picture)
    packed = (run_folder / "arrays.npz").read_bytes()
    resign(run_folder, "arrays.npz", packed[: len(packed) // 2])
    with pytest.raises(DamagedRunError, match="not the arrays of a run"):
        load_run(run_folder)


def snapshot(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_a_finished_run_is_not_overwritten_unless_told(run_folder):
    before = snapshot(run_folder)
    with pytest.raises(
        RunExistsError, match="run holds a finished run; replace it with --overwrite"
    ):
        save_run(example_run(title="new"), run_folder)
    assert snapshot(run_folder) == before
    save_run(example_run(title="new"), run_folder, overwrite=True)
    assert load_run(run_folder).title == "new"
    assert os.listdir(run_folder.parent) == ["run"]


def test_a_damaged_run_or_one_of_another_version_counts_as_a_run(run_folder):
    (run_folder / "arrays.npz").unlink()
    edit_header(run_folder, lambda head: head.update(version=99))
    with pytest.raises(RunExistsError, match="holds a finished run"):
        save_run(example_run(), run_folder)
    save_run(example_run(), run_folder, overwrite=True)
    assert is_finished(run_folder)


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_not_a_run_is_never_touched(overwrite, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"a cat")
    (tmp_path / "file").write_text("text")
    before = snapshot(tmp_path)
    with pytest.raises(RunExistsError, match="photos is not empty and holds no run"):
        save_run(example_run(), tmp_path / "photos", overwrite=overwrite)
    with pytest.raises(RunExistsError, match="file is a file; a run needs a folder"):
        save_run(example_run(), tmp_path / "file", overwrite=overwrite)
    assert snapshot(tmp_path) == before


def test_an_empty_folder_a_new_path_and_a_link_are_fine(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    save_run(example_run(), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert is_finished(tmp_path / "empty")
    assert save_run(example_run(), tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert is_finished(tmp_path / "a" / "b")


def test_a_path_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("text")
    with pytest.raises(RunWriteError, match=r"writing into .*file/a failed"):
        save_run(example_run(), tmp_path / "file" / "a" / "run")


def test_a_mount_point_is_refused():
    with pytest.raises(RunWriteError, match=r"/ is a mount point, .* use a folder in it"):
        save_run(example_run(), "/")


@pytest.mark.parametrize("nth", [1, 2, 9])
def test_a_full_disk_is_explained_and_leaves_nothing(nth, tmp_path, monkeypatch):
    save_run(example_run(title="old"), tmp_path / "run")
    paths = []

    def full(path, mode):
        paths.append(path)
        return open("/dev/full", "wb") if len(paths) == nth else open(path, mode)

    monkeypatch.setattr("mfvjax.store.files.open", full, raising=False)
    message = r"no space left in .*: the run takes 0\.\d MB, and \d+\.\d MB were free; free some"
    with pytest.raises(RunWriteError, match=message) as failed:
        save_run(example_run(title="new"), tmp_path / "run", overwrite=True)
    assert failed.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == ["run"]
    assert load_run(tmp_path / "run").title == "old"


def test_a_disk_that_fills_beside_the_run_is_explained(tmp_path):
    def write_a_page():
        with open_run_folder(tmp_path / "run") as folder:
            write_run(example_run(), folder)
            (folder / "figures").symlink_to("/dev/full")
            (folder / "figures").write_bytes(b"a figure")

    with pytest.raises(RunWriteError, match=r"no space left in .*: \d+\.\d MB are free"):
        write_a_page()
    assert os.listdir(tmp_path) == []


def test_a_read_only_folder_is_explained_before_any_work(read_only_folder):
    reached = []

    def work():
        with open_run_folder(read_only_folder / "run"):
            reached.append("the block")

    message = r"cannot be written to \(Permission denied\); choose another place"
    with pytest.raises(RunWriteError, match=message) as failed:
        work()
    assert failed.value.errno == errno.EACCES
    assert reached == []


def test_errors_of_the_block_stay_what_they_are(tmp_path):
    def fail(error):
        with open_run_folder(tmp_path / "run") as folder:
            write_run(example_run(), folder)
            raise error

    for error in (PermissionError(errno.EACCES, "cat.jpg"), ValueError("no"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as raised:
            fail(error)
        assert raised.value is error
        assert os.listdir(tmp_path) == []


def test_a_block_without_a_run_publishes_nothing(tmp_path):
    def forget():
        with open_run_folder(tmp_path / "run") as folder:
            (folder / "report.html").write_text("a page")

    with pytest.raises(ValueError, match="nothing wrote a run into the folder opened for"):
        forget()
    assert os.listdir(tmp_path) == []
