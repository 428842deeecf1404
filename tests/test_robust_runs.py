"""Runs that nothing is lost of: refused before work, kept whatever fails at the end."""

import dataclasses
import importlib
import inspect
import json
import os

import numpy as np
import pytest
from PIL import Image

import mfvjax.cli
import mfvjax.pipeline
from mfvjax.class_names import read_class_names
from mfvjax.pipeline import largest_difference, replay, run_unit
from mfvjax.pipeline.sources import written_down
from mfvjax.store import is_finished, load_run, save_run
from tests.small_caffe import write_small_caffe
from tests.small_job import SMALL_JOB, small_run
from tests.unchecked import without_type_checks
from weights_convert import CaffeFormatError, convert

RUN_UNIT = importlib.import_module("mfvjax.pipeline.run_unit")
REPLAY = importlib.import_module("mfvjax.pipeline.replay")


@pytest.fixture
def command(command_line, monkeypatch, tmp_path):
    """The command line, what it says on standard error in one line."""
    monkeypatch.chdir(tmp_path)

    def with_arguments(*arguments):
        code, out, err = command_line(*arguments)
        return code, out, " ".join(err.replace("│", " ").split())

    return with_arguments


@pytest.fixture
def asked(monkeypatch):
    """What ``mfvjax run`` asks of `run_unit`, which answers with a run made before."""
    calls = []

    def answer(network, images, **options):
        calls.append({"images": images, **options})
        return small_run()

    monkeypatch.setattr(mfvjax.pipeline, "run_unit", answer)
    return calls


@pytest.fixture
def no_work(monkeypatch):
    """Fails where discovery begins."""
    small_run()  # made before, if it is needed

    def work(*_, **__):
        raise AssertionError("work was begun")

    for module in (RUN_UNIT, importlib.import_module("mfvjax.facets.discover")):
        monkeypatch.setattr(module, "discover_facets", work)


def test_units_given_twice_have_a_run_each(command, asked, tmp_path):
    code, out, _ = command("run", "-u", "fc8:2", "-u", "fc8:6", "-o", "both", "--json")
    assert code == 0
    assert [call["unit"] for call in asked] == ["fc8:2", "fc8:6"]
    assert [call["images"] for call in asked] == ["facetworld:pool table", "facetworld:balloon"]
    assert [facts["folder"] for facts in json.loads(out)] == [
        "both/compact_fc8-2", "both/compact_fc8-6",
    ]  # fmt: skip
    assert sorted(os.listdir(tmp_path / "both")) == ["compact_fc8-2", "compact_fc8-6"]
    code, _, err = command("run", "-u", "fc8:3", "-u", "fc8:6", "-o", "both")
    assert (code, len(asked)) == (1, 2)  # the second is there: the first is not begun
    assert "compact_fc8-6 holds a finished run" in err
    code, _, err = command("run", "-u", "fc8:2", "-u", "fc8:99", "-o", "none")
    assert (code, len(asked)) == (1, 2)
    assert "fc8:99" in err or "99" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--seed", "1", "--seed", "2"],
        ["run", "-k", "2", "--facets", "3"],
        ["run", "--controls", "--no-controls"],
        ["facets", "x.npz", "-u", "fc8:1", "-u", "fc8:2"],
        ["atlas", "-i", "a", "-i", "b"],
        ["atlas", "-i", "a", "-u", "1", "-u", "2"],
        ["replay", "x", "--images", "a", "-i", "b"],
    ],
)
def test_an_option_given_twice_is_refused(command, asked, no_work, arguments):
    code, _, err = command(*arguments)
    assert code == 2
    assert "given 2 times, but it takes one value" in err


def test_flags_and_repeatable_options_may_be_repeated(command, asked):
    assert command("run", "-q", "-q")[:2] == (0, "")


@pytest.mark.parametrize(
    "name", ["run", "atlas", "facets", "visualize", "report", "replay", "convert"]
)
def test_h_is_help_everywhere(command, name):
    code, out, _ = command(name, "-h")
    assert (code, out) == (0, command(name, "--help")[1])
    assert "Usage" in out


def test_a_second_run_has_a_folder_of_its_own(command, asked, tmp_path):
    for _ in range(3):
        assert command("run", "-q")[0] == 0
    names = ["compact_fc8-6", "compact_fc8-6-2", "compact_fc8-6-3"]
    assert sorted(os.listdir(tmp_path / "mfv_runs")) == names
    assert command("run", "-q", "--overwrite")[0] == 0
    assert sorted(os.listdir(tmp_path / "mfv_runs")) == names
    assert command("run", "-q", "-o", "mine")[0] == 0
    code, _, err = command("run", "-q", "-o", "mine")
    assert (code, len(asked)) == (1, 5)
    assert "replace it with --overwrite" in err


def test_files_of_the_user_stay(command, asked, tmp_path):
    assert command("run", "-q", "-o", "mine")[0] == 0
    (tmp_path / "mine" / "notes.txt").write_text("of the user")
    code, _, err = command("run", "-q", "-o", "mine", "--overwrite")
    assert (code, len(asked)) == (1, 1)
    assert "mine also holds what no run wrote (notes.txt)" in err
    assert (tmp_path / "mine" / "notes.txt").read_text() == "of the user"


def test_facets_are_written_to_files_of_facets_only(command, no_work, tmp_path):
    (tmp_path / "thesis.doc").write_text("years of work")
    for arguments in (["thesis.doc"], ["-o", "thesis.doc"]):
        code, _, err = command("facets", *arguments)
        assert code == 2
        assert "thesis.doc is there and holds no facets; it is left as it is" in err
    assert (tmp_path / "thesis.doc").read_text() == "years of work"
    assert "there is no folder nowhere to write x.npz into" in command("facets", "nowhere/x.npz")[2]
    assert "seed=99999999999 must be a whole" in command("facets", "a", "--seed", "99999999999")[2]
    assert "name one file to write" in command("facets", "a.npz", "-o", "b.npz")[2]


def test_a_page_that_fails_takes_no_run_with_it(command, asked, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mfvjax.report.write_page", full)
    code, _, err = command("run", "-o", "a run", "-q")
    assert code == 1
    assert "the run is whole in a run, but not its page" in err
    assert "No space left on device" in err
    assert err.endswith("mfvjax report 'a run'")
    assert is_finished(tmp_path / "a run")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert command("report", "a run", "--no-figures")[0] == 0
    assert (tmp_path / "a run" / "report.html").is_file()


def test_a_judge_that_fails_takes_no_run_with_it(command, asked, monkeypatch, tmp_path):
    def fail(*_, **__):
        raise MemoryError("all of it is used")

    monkeypatch.setattr("mfvjax.judging.judged", fail)
    code, _, err = command("run", "-o", "job", "-q")
    assert code == 1
    assert "its judge failed (all of it is used); ask it again with: mfvjax judge job" in err
    assert is_finished(tmp_path / "job")
    assert (tmp_path / "job" / "report.html").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hold": float("inf")}, "hold=inf must be a finite number"),
        ({"hold": -1.0}, "hold"),
        ({"step_fraction": 0.0}, "step_fraction=0.0 must be above 0"),
        ({"step_fraction": float("nan")}, "step_fraction=nan must be a finite"),
        ({"recipe": "magic"}, "no recipe 'magic'; there are"),
        ({"recipe": 5}, "recipe=5 must be a Recipe"),
        ({"seed": 1.5}, "seed=1.5 must be a whole number"),
        ({"seed": 2**32}, "seed=4294967296 must be a whole number from 0 to 4294967295"),
        ({"num_facets": 0}, 'num_facets=0 must be .* or "auto"'),
        ({"num_facets": True}, "num_facets=True must be a whole number"),
        ({"num_facets": 500}, "num_facets=500 needs as many images, there are 80"),
        ({"top_count": 3}, "num_mean_images=15 needs as many images, there are 3"),
        ({"top_fraction": 2.0}, "fraction=2.0 must be in"),
        ({"top_fraction": "most"}, "top_fraction='most' must be a finite number"),
        ({"num_mean_images": "15"}, "num_mean_images='15' must be a whole number"),
        ({"perplexity": float("nan")}, "perplexity=nan must be a finite number"),
        ({"controls": "no"}, "controls='no' must be True or False"),
        ({"positions": "middle"}, "positions='middle' must be one of inside, all"),
        ({"on_error": "hide"}, "on_error='hide' must be one of skip, raise"),
        ({"batch_size": 0}, "batch_size=0 must be a whole number from 1"),
        ({"resize_shorter": "no"}, "resize_shorter='no' must be .* \"fit\" or None"),
        ({"max_unreadable": 2.0}, "max_unreadable=2.0 must be a share"),
        ({"code_layer": "fc99"}, "code_layer='fc99' is no layer"),
        ({"unit": "fc8:99"}, "99"),
        ({"placebo": "nowhere"}, "there is no file or folder 'nowhere'"),
        ({"cache_dir": "/dev/null/x"}, "cache_dir='/dev/null/x' cannot be written to"),
        ({"precision": "float16"}, "float16"),
    ],
)
def test_what_cannot_end_well_is_refused_before_work(no_work, options, message):
    with pytest.raises(mfvjax.cli.EXPECTED, match=message):
        without_type_checks(run_unit)(**{**SMALL_JOB, **options})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--hold", "inf"], "hold=inf must be a finite number"),
        (["--recipe", "magic"], "no recipe 'magic'"),
        (["--judge", "nobody"], "nobody"),
        (["--judge", "compact-resnet", "--judge-class", "no such class"], "no such class"),
        (["--placebo", "nowhere"], "nowhere"),
        (["--steps", "2"], "step_fraction=2.0 must be above 0 and at most 1"),
        (["--out", "/dev/null/run"], "/dev/null"),
    ],
)
def test_the_command_refuses_before_work(command, no_work, arguments, message, tmp_path):
    code, _, err = command("run", *arguments)
    assert code == 1
    assert message in err
    assert not list(tmp_path.rglob("run.json"))


def test_names_that_are_no_text_and_brackets_reach_the_page(command, monkeypatch, tmp_path):
    small = small_run()
    names = (os.fsdecode(b"caf\xe9.png"), *small.real.names[1:])
    classes = tuple(("[/b] of [red]", *row[1:]) for row in small.shown.top_class_names)
    run = dataclasses.replace(
        small,
        title="[/red] \\",
        real=dataclasses.replace(small.real, names=names),
        shown=dataclasses.replace(small.shown, top_class_names=classes),
    )
    monkeypatch.setattr(mfvjax.pipeline, "run_unit", lambda *_, **__: run)
    code, out, err = command("run", "-o", os.fsdecode(b"ordn\xe9r"))
    assert (code, err) == (0, "")
    assert "[/b] of [red]" in out
    assert "[/red] \\" in out
    folder = tmp_path / os.fsdecode(b"ordn\xe9r")
    assert load_run(folder).real.names[0] == names[0]
    assert "caf\\udce9.png" in (folder / "report.html").read_text()


def test_a_folder_of_latin_1_names_makes_a_whole_run(command, monkeypatch, tmp_path):
    from mfvjax.pipeline.sources import PaintedSource

    painted = PaintedSource("pool table", size=96, per_facet=10)
    (tmp_path / "pool").mkdir()
    for number, image in enumerate(painted.read(i) for i in range(len(painted))):
        path = os.fsencode(tmp_path / "pool") + b"/\xe9t\xe9-%02d.png" % number
        with open(path, "wb") as file:
            Image.fromarray(np.uint8(image)).save(file, "PNG")
    arguments = ["-u", "fc8:2", "-k", "2", "--recipe", "small-image", "--steps", "0.25"]
    code, _, err = command("run", "-i", "pool", *arguments, "-o", "job", "--no-controls")
    assert (code, err.count("error")) == (0, 0), err
    assert load_run(tmp_path / "job").options["images"] == str(tmp_path / "pool")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert command("replay", tmp_path / "job", "-q")[0] == 0


def test_paths_are_written_down_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pool").mkdir()
    (tmp_path / "w.pth").write_text("")
    assert written_down("pool") == str(tmp_path / "pool")
    assert written_down("torchvision:alexnet@w.pth") == f"torchvision:alexnet@{tmp_path / 'w.pth'}"
    assert written_down("class:bell@pool") == f"class:bell@{tmp_path / 'pool'}"
    for address in ("compact", "facetworld:balloon", "tfds:a/b", "x@nowhere"):
        assert written_down(address) == address
    assert written_down(np.zeros(1)) is None


def stored(**changes):
    return dataclasses.replace(small_run(), options={**small_run().options, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cache_dir": "/tmp/x"}, "option 'cache_dir', which runs do not write down"),
        ({"progress": "x"}, "option 'progress', which"),
        ({"discovery": {"cache_dir": "x"}}, "option 'discovery.cache_dir', which"),
        ({"discovery": {"network": "python:os:system"}}, "option 'discovery.network', which"),
        ({"discovery": [1]}, r"discovery is \[1\], not options by name"),
        ({"images": ["/etc"]}, r"option images is \['/etc'\], not text"),
        ({"network": {"a": 1}}, r"option network is \{'a': 1\}, not text"),
        ({"seed": "1"}, "seed='1' must be a whole number"),
        ({"hold": "inf"}, "hold='inf' must be a finite number"),
        ({"images": "gone/pool"}, r"'gone/pool', are not there \(sought in .*or --images"),
        ({"images": "/gone/pool"}, "'/gone/pool', are not there: say where"),
    ],
)
def test_hostile_options_of_a_stored_run_are_refused(no_work, changes, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        replay(stored(**changes))


def test_a_run_without_a_unit_is_refused(no_work):
    options = {name: value for name, value in small_run().options.items() if name != "unit"}
    with pytest.raises(ValueError, match="do not say of which unit"):
        replay(dataclasses.replace(small_run(), options=options))


def test_replay_compares_before_the_ascent(monkeypatch):
    def ascend(*_, **__):
        raise AssertionError("the ascent was begun")

    monkeypatch.setattr(RUN_UNIT, "_run_facets", ascend)
    with pytest.raises(ValueError, match="'facetworld:balloon' are not those of the run"):
        replay(small_run(), images="facetworld:balloon")
    other = dataclasses.replace(small_run(), network={**small_run().network, "fingerprint": "0"})
    with pytest.raises(ValueError, match="network 'compact' has changed since the run"):
        replay(other)


def test_every_stored_option_is_one_of_run_unit():
    options = inspect.signature(run_unit).parameters
    assert REPLAY._STORED - {"discovery", "schedule"} | REPLAY._DISCOVERY <= options.keys()
    written = small_run().options
    assert written.keys() <= REPLAY._STORED | REPLAY._RECORDED
    assert written["discovery"].keys() <= REPLAY._DISCOVERY


def test_stored_runs_still_replay(tmp_path):
    save_run(small_run(), tmp_path / "run")
    assert largest_difference(replay(load_run(tmp_path / "run")), small_run()) == 0


def test_convert_says_before_it_reads_that_there_is_no_folder(command, tmp_path):
    files = write_small_caffe(tmp_path)
    code, _, err = command("convert", *files, "-o", "nodir/x.safetensors")
    assert code == 1
    assert "there is no folder 'nodir' to write 'x.safetensors' into" in err
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        convert("nowhere.prototxt", "nowhere.caffemodel", tmp_path / "nodir" / "x")
    with pytest.raises(IsADirectoryError, match=r"is a folder; name a .safetensors file"):
        convert("nowhere.prototxt", "nowhere.caffemodel", tmp_path)


def test_convert_needs_a_place_that_can_be_written_to(read_only_folder):
    with pytest.raises(PermissionError, match="cannot be written to"):
        convert("nowhere.prototxt", "nowhere.caffemodel", read_only_folder / "x")


def test_devices_and_huge_files_are_no_networks(tmp_path):
    prototxt, caffemodel = write_small_caffe(tmp_path)
    with pytest.raises(CaffeFormatError, match="is no file; a network definition is one of at"):
        convert("/dev/zero", caffemodel, tmp_path / "x")
    with pytest.raises(CaffeFormatError, match="is no file; a network's weights is one of at mo"):
        convert(prototxt, "/dev/zero", tmp_path / "x")
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(2**36)
    with pytest.raises(CaffeFormatError, match="68719476736 bytes, a network's weights has at m"):
        convert(prototxt, tmp_path / "huge", tmp_path / "x")
    with pytest.raises(ValueError, match="a file of class names has at most 16777216 bytes"):
        read_class_names("/dev/zero")
