"""``mfvjax atlas``: what each option asks for, what is printed, and how it ends."""

import functools
import json

import pytest

import mfvjax.atlas
import mfvjax.cli
from mfvjax.atlas import Atlas, AtlasError, Share
from tests.test_atlas_parts import make_plan


@pytest.fixture
def run(command_line):
    """The command line of atlases."""
    return functools.partial(command_line, "atlas")


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What is asked of `build_atlas`, which makes nothing."""
    calls = []

    def build_atlas(network, images, **options):
        calls.append({"network": network, "images": images, **options})
        units = tuple(options["units"])
        return Atlas(
            options["out"], options["out"] / "index.html", units, units[:2], {}, {}, 1, ("x",)
        )

    monkeypatch.setattr(mfvjax.atlas, "build_atlas", build_atlas)
    return calls


def test_whole_layers_are_one_command(run, asked, tmp_path):
    code, out, err = run("-i", "pool", "-o", tmp_path / "a", "-q")
    assert (code, out, err) == (0, "", "")
    assert asked[0]["units"] == [f"fc8:{i}" for i in range(14)]
    assert asked[0]["share"] == Share()
    assert (asked[0]["network"], asked[0]["images"], asked[0]["num_facets"]) == (
        "compact", "pool", 10,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-l", "conv1", "-u", "3,45-"], {"units": [f"conv1:{i}" for i in (3, 45, 46, 47)]}),
        (["-k", "4"], {"num_facets": 4}),
        (["-k", "auto"], {"num_facets": "auto"}),
        (["--shard", "3/16"], {"share": Share(2, 16)}),
        (["--shard", "3/16", "--together"], {"share": Share(2, 16, team=Share())}),
        (["--recipe", "mean-image"], {"recipe": "mean-image"}),
        (["--steps", "0.5"], {"step_fraction": 0.5}),
        (["--hold", "0", "--seed", "5"], {"hold": 0.0, "seed": 5}),
        (["--top", "5%"], {"top_fraction": 0.05}),
        (["--top", "200"], {"top_count": 200}),
        (["--mean-images", "9"], {"num_mean_images": 9}),
        (["--code-layer", "fc7"], {"code_layer": "fc7"}),
        (["--positions", "all"], {"positions": "all"}),
        (["--precision", "bfloat16"], {"precision": "bfloat16"}),
        (["--facets-per-device", "32"], {"facets_per_device": 32}),
    ],
)  # fmt: skip
def test_every_option_reaches_the_atlas(run, asked, tmp_path, arguments, expected):
    code, _, err = run("-i", "pool", "-o", tmp_path / "a", *arguments)
    assert (code, err) == (0, "")
    assert {name: asked[0][name] for name in expected} == expected


def test_identifiers_of_classes_are_read(run, asked, tmp_path):
    (tmp_path / "words.txt").write_text("n1 a\nn2 b\n")
    run("-i", "pool", "--class-ids", tmp_path / "words.txt", "-o", tmp_path / "a")
    assert asked[0]["class_ids"] == ["n1", "n2"]


def test_processes_of_a_cluster_share_the_shard(run, asked, tmp_path, monkeypatch):
    monkeypatch.setattr(
        mfvjax.atlas, "join_processes", lambda *given: met.append(given) or Share(1, 4)
    )
    met = []
    run(
        "-i",
        "p",
        "-o",
        tmp_path,
        "--shard",
        "2/3",
        "--coordinator",
        "a:1",
        "--processes",
        4,
        "--process",
        1,
    )
    assert met == [("a:1", 4, 1)]
    assert asked[0]["share"] == Share(1 + 3, 12)  # of every third unit every fourth
    run("-i", "p", "-o", tmp_path, "--distributed")
    assert met[1] == (None, None, None)


def test_what_is_printed(run, asked, tmp_path):
    code, out, _ = run("-i", "pool", "-o", tmp_path / "a")
    assert code == 0
    assert "2 units made (1 from images of their class, 1 from the top of the pool), 1 of" in out
    assert f"Open {tmp_path / 'a' / 'index.html'}" in out
    facts = json.loads(run("-i", "pool", "-o", tmp_path / "a", "--json")[1])
    assert (facts["made"], facts["missing"]) == (["fc8:0", "fc8:1"], ["x"])


def test_ctrl_c_says_how_to_go_on(run, tmp_path, monkeypatch):
    def stop(*_, **options):
        for name in ("a", "b", ".c.writing-1"):
            (options["out"] / "units" / name).mkdir(parents=True)
            (options["out"] / "units" / name / "run.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(mfvjax.atlas, "build_atlas", stop)
    code, _, err = run("-i", "pool", "-o", tmp_path / "a", "-q")
    assert code in (1, 130)
    assert f"stopped: 2 units are finished in {tmp_path / 'a'}; the same command goes on" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["-o", "x"], 2, "name the pool of images"),
        (["-i", "p", "--shard", "5"], 1, "shard '5' is not of the form 3/16"),
        (["-i", "p", "-u", "7-99"], 1, "layer 'fc8' has units 0 to 13"),
        (["-i", "p", "-l", "fc9"], 1, "fc9"),
        (["merge", "out", "nowhere"], 1, "nowhere holds no atlas"),
        (["merge", "out"], 2, "Missing argument"),
    ],
)
def test_failures_are_one_line(run, arguments, code, message):
    result = run(*arguments)
    assert result[0] == code
    assert message in " ".join(result[2].replace("│", " ").split())


def test_merging_tells_what_was_added(run, tmp_path):
    from mfvjax.atlas.folder import AtlasFolder

    AtlasFolder(tmp_path / "a", make_plan()).__exit__()
    code, out, _ = run("merge", tmp_path / "all", tmp_path / "a")
    assert (code, out.splitlines()[0]) == (0, "0 units added, 2 missing")
    facts = json.loads(run("merge", tmp_path / "all", tmp_path / "a", "--json")[1])
    assert facts["missing"] == ["fc8:0", "fc8:1"]


def test_an_atlas_of_another_kind_is_an_error_in_one_line(run, monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise AtlasError("x holds another atlas; hold: 1.0 there, 0.0 now")

    monkeypatch.setattr(mfvjax.atlas, "build_atlas", refuse)
    code, _, err = run("-i", "pool", "-o", tmp_path / "a")
    assert (code, err) == (1, "mfvjax: error: x holds another atlas; hold: 1.0 there, 0.0 now\n")
