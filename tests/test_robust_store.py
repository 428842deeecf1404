"""Run folders of somebody else, and folders with somebody's files: named, never trusted or lost."""

import io
import json
import os
import zipfile

import numpy as np
import pytest

from mfvjax.store import DamagedRunError, RunExistsError, load_run, read_header, save_run
from mfvjax.store import arrays as arrays_module
from mfvjax.store import header as header_module
from mfvjax.store.files import record
from mfvjax.store.names import others_files
from mfvjax.store.pictures import png, read_png
from tests.run_example import example_run


@pytest.fixture
def run_folder(tmp_path):
    save_run(example_run(), tmp_path / "run")
    return tmp_path / "run"


def edit(folder, change):
    head = json.loads((folder / "run.json").read_text())
    change(head)
    (folder / "run.json").write_text(json.dumps(head))


def resign(folder, name, data):
    """Replaces a file and its record: what no hash can tell."""
    (folder / name).write_bytes(data)
    edit(folder, lambda head: head["files"].update({name: record(data)}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h.update(unit=7), "unit is 7; it must be text"),
        (lambda h: h.update(title=None), "title is None; it must be text"),
        (lambda h: h.update(options=[1]), r"options is \[1\]; it must be values by name"),
        (lambda h: h["network"].pop("fingerprint"), "network.fingerprint is None; .* text"),
        (lambda h: h["network"].update(input_size=[8, "8"]), "network.input_size is .* a height"),
        (lambda h: h["network"].update(input_size=8), "network.input_size is 8"),
        (lambda h: h["versions"].update(jax=1), "versions.jax is 1; it must be text"),
        (lambda h: h["timings"].update(codes="soon"), "timings.codes is 'soon'; .* a number"),
        (lambda h: h["summary"].update(recall=True), "summary.recall is True; .* a number"),
        (lambda h: h["scores"].update(activation=3), "scores.activation is 3; .* one number per"),
        (lambda h: h["scores"].update(activation=[3]), "scores.activation has 1 entries for 3"),
        (lambda h: h["real"].pop("names"), "real.names is None; it must be there"),
        (lambda h: h["real"].update(names=[1]), r"real.names is \[1\]; .* a list of texts"),
        (lambda h: h["real"]["names"].pop(), r"real.activations has the shape \(30,\), not \(29\)"),
        (lambda h: h["shown"].update(phase_ends=[5, 4]), r"phase_ends is \[5, 4\]; .* rising"),
        (lambda h: h["shown"].update(phase_ends=[1, 2, 3]), "phase_ends end at 3 of 45 steps"),
        (lambda h: h["shown"].update(top_class_names=[["a"]]), "names has 1 entries for 3 facets"),
        (lambda h: h["shown"].update(top_class_names=[["a"]] * 3), "1 names for 5 top classes"),
        (lambda h: h.update(controls=[]), r"controls is \[\]; it must be the fields"),
        (lambda h: h.update(controls={"names": [], "about": 1}), "controls.about is 1"),
        (
            lambda h: h.update(controls={"names": ["a"], "about": ["b"], "facet": -1}),
            "controls.facet is -1; .* the number of a facet",
        ),
        (
            lambda h: h.update(controls={"names": ["a"], "about": ["b"], "facet": 0}),
            "run.json does not list controls/01.png",
        ),
        (lambda h: h.update(judgements={}), r"judgements is \{\}; it must be a list"),
        (lambda h: h.update(judgements=[{}]), r"judgements: not what a judge says \(KeyError"),
        (lambda h: h["files"]["arrays.npz"].update(bytes=-1), r"\['arrays.npz'\].bytes is -1"),
        (lambda h: h["files"]["arrays.npz"].update(bytes=2**40), "a size up to 17179869184 bytes"),
        (lambda h: h["files"]["arrays.npz"].update(sha256=5), r"sha256 is 5; .* hexadecimal"),
        (lambda h: h["files"].update({"a" * 300: {}}), "'a{300}' is not a file of the run"),
        (lambda h: h["files"].update({"a\0": {}}), "is not a file of the run"),
        (lambda h: h["files"].pop("nearest/01_01.png"), "does not list nearest/01_01.png"),
    ],
)
def test_each_wrong_field_is_named(change, message, run_folder):
    edit(run_folder, change)
    with pytest.raises(DamagedRunError, match=message):
        load_run(run_folder)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("real.map", np.zeros((30, 3), np.float32), r"real.map has the shape \(30, 3\), not \(30,"),
        ("real.map", np.zeros((30, 2), np.int32), "real.map is of int32, which it cannot be"),
        ("facets.sizes", np.zeros((0,), np.int32), r"facets.sizes has the shape \(0,\), not \(any"),
        ("facets.nearest", np.full((3, 4), 30, np.int32), "nearest holds .* not from -1 to 29"),
        ("real.assignment", np.full(30, 3, np.int32), "real.assignment holds .* from 0 to 2"),
        ("shown.stopped_at", np.zeros((3, 1), np.int32), r"stopped_at has the shape \(3, 1\)"),
        ("real.thumbnails", np.zeros((30, 8, 8, 1), np.uint8), r"not \(30, any, any, 3\)"),
        ("shown.activations", None, "arrays.npz lacks shown.activations"),
        (
            "shown.phase_images.3.planes",
            np.zeros((3, 9, 9, 9, 3), np.uint8),
            "of planes of float32",
        ),
        ("facets.mean_images.planes", np.zeros((4, 4), np.uint8), "of planes of float32"),
    ],
)
def test_each_wrong_array_is_named(name, array, message, run_folder):
    with np.load(run_folder / "arrays.npz") as stored:
        arrays = {key: stored[key] for key in stored.files if key != name}
    if array is not None:
        arrays[name] = array
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    resign(run_folder, "arrays.npz", buffer.getvalue())
    with pytest.raises(DamagedRunError, match=message):
        load_run(run_folder)


def test_a_header_that_promises_terabytes_takes_none(run_folder):
    claim = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        claim, {"descr": "<f4", "fortran_order": False, "shape": (10**12,)}
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("real.map.npy", claim.getvalue() + bytes(8))
    resign(run_folder, "arrays.npz", buffer.getvalue())
    with pytest.raises(DamagedRunError, match=r"'real.map' says that .* \(1000000000000,\) .* 8 b"):
        load_run(run_folder)


def test_arrays_and_headers_have_a_limit(run_folder, monkeypatch):
    monkeypatch.setattr(arrays_module, "MAX_BYTES", 1000)
    with pytest.raises(DamagedRunError, match="arrays of more than 1000 bytes"):
        load_run(run_folder)
    monkeypatch.setattr(header_module, "MAX_BYTES", 100)
    with pytest.raises(DamagedRunError, match=r"run.json is damaged: it has more than 100 bytes"):
        read_header(run_folder)


def test_a_number_of_too_many_digits_is_damage(run_folder):
    text = (run_folder / "run.json").read_text()
    (run_folder / "run.json").write_text(text.replace('"seed": 0', '"seed": ' + "9" * 5000))
    with pytest.raises(DamagedRunError, match=r"run.json is damaged: it is not JSON"):
        load_run(run_folder)


def test_pictures_of_another_size_are_refused_before_they_are_unpacked(run_folder, monkeypatch):
    resign(run_folder, "nearest/01_01.png", png(np.zeros((4, 5, 3))))
    with pytest.raises(DamagedRunError, match=r"nearest/01_01.png: a picture of the size \(4, 5\)"):
        load_run(run_folder)
    monkeypatch.setattr("mfvjax.store.pictures.MAX_PIXELS", 19)
    with pytest.raises(ValueError, match=r"the size \(4, 5\), more than 19 pixels"):
        read_png(png(np.zeros((4, 5, 3))))


def test_overwriting_removes_only_what_a_run_wrote(run_folder):
    (run_folder / "figures").mkdir()
    for name in ("report.html", "figures/map.pdf", ".report.html.abc", ".DS_Store"):
        (run_folder / name).write_text("ours")
    assert others_files(run_folder) == []
    save_run(example_run(title="second"), run_folder, overwrite=True)
    assert not (run_folder / "report.html").exists()
    (run_folder / "figures").mkdir()
    (run_folder / "figures" / "mine.svg").write_text("of the user")
    (run_folder / "notes.txt").write_text("of the user")
    os.symlink("/tmp", run_folder / "link")
    message = r"what no run wrote \(figures/mine.svg, link, notes.txt\), .* move it away"
    with pytest.raises(RunExistsError, match=message):
        save_run(example_run(title="third"), run_folder, overwrite=True)
    assert (run_folder / "notes.txt").read_text() == "of the user"
    assert load_run(run_folder).title == "second"
