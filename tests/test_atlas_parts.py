"""Parts of the atlas that need no network: shares, plans, classes, locks."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfvjax.atlas import AtlasBusyError, AtlasError, AtlasPlan, Share, parse_units
from mfvjax.atlas.folder import AtlasFolder
from mfvjax.atlas.locks import UnitLocks
from mfvjax.atlas.plan import read_plan, write_plan
from mfvjax.images.classes import class_labels, images_by_label, read_class_ids, select_label
from mfvjax.images.sources import ArraySource


def make_plan(units=("fc8:0", "fc8:1"), **changes):
    plan = AtlasPlan(
        units=units,
        network={"name": "net", "fingerprint": "f" * 64, "source": "net.safetensors"},
        images={"source": "pool", "count": 9, "names_sha256": "0", "class_ids_sha256": None},
        num_facets=2,
        recipe={"name": "mean-image", "sha256": "1"},
        step_fraction=1.0,
        hold=1.0,
        controls=False,
        seed=0,
        precision="float32",
        top={"fraction": 0.02, "count": None},
        discovery={"positions": "inside"},
        facets_per_device=3,
    )
    return dataclasses.replace(plan, **changes)


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 5))
def test_shares_of_shares_divide_the_units(num_units, shards, processes):
    units = [f"fc8:{i}" for i in range(num_units)]
    parts = [
        Share(p, processes).within(Share(s, shards)).of(units)
        for s in range(shards)
        for p in range(processes)
    ]
    assert sorted(unit for part in parts for unit in part) == sorted(units)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    met = Share(0, processes, team=Share()).within(Share(shards - 1, shards))
    assert sorted(met.team.of(units)) == sorted(u for part in parts[-processes:] for u in part)
    together = Share(0, processes, team=Share()).within(Share(shards - 1, shards, team=Share()))
    assert together == dataclasses.replace(met, team=Share())


def test_shares_and_units_as_text():
    assert Share.parse("3/16") == Share(2, 16)
    assert str(Share(2, 16)) == "3/16"
    assert parse_units("fc8", 1000, "3, 7-9,998-") == [f"fc8:{i}" for i in (3, 7, 8, 9, 998, 999)]
    assert parse_units("fire9/concat", 2, "all") == ["fire9/concat:0", "fire9/concat:1"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Share.parse("third"), r"shard 'third' is not of the form 3/16"),
        (lambda: Share.parse("17/16"), "there is no share 17 of 16"),
        (lambda: Share(-1, 2), "there is no share 0 of 2"),
        (lambda: parse_units("fc8", 10, "1..3"), "'1..3' are not of the form 7, 0-99"),
        (lambda: parse_units("fc8", 10, "5-10"), "'5-10': layer 'fc8' has units 0 to 9"),
        (lambda: parse_units("fc8", 10, "3-1"), "'3-1': layer"),
        (lambda: make_plan(units=()), "an atlas needs at least one unit"),
        (lambda: make_plan(units=("fc8:1", "fc8:0", "fc8:1")), "unit fc8:1 is asked for twice"),
    ],
)
def test_wrong_shares_units_and_plans(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_folders_are_readable_and_unique():
    units = ("fire9/concat:7", "fire9-concat:7", "FIRE9-concat:7", "conv5:3@6,6", "conv5:3")
    names = make_plan(units=units).folders()
    assert names["fire9/concat:7"] == "fire9-concat-0007"
    assert names["conv5:3@6,6"] == "conv5-0003-at-6-6"
    assert len({name.lower() for name in names.values()}) == len(units)


def test_a_plan_is_read_as_it_was_written(tmp_path):
    plan = make_plan(num_facets="auto", discovery={"perplexity": 12.5, "positions": "inside"})
    write_plan(plan, tmp_path)
    assert read_plan(tmp_path) == plan
    assert plan.differences(read_plan(tmp_path)) == []


def test_atlases_of_before_there_was_a_choice_are_of_all_positions(tmp_path):
    """They go on with the option; without it they are refused, not mixed with others."""
    write_plan(make_plan(discovery={}), tmp_path)
    before = read_plan(tmp_path)
    assert before.differences(make_plan(discovery={"positions": "all"})) == []
    assert before.differences(make_plan()) == ["discovery.positions: all there, inside now"]


def test_differences_are_told_in_words():
    units = tuple(f"fc8:{i}" for i in range(10))
    other = make_plan(units=units, hold=0.5, network={"name": "net", "fingerprint": "e"})
    assert make_plan().differences(other) == [
        "hold: 1.0 there, 0.5 now",
        f"network.fingerprint: {'f' * 64} there, e now",
        "network.source: net.safetensors there, nothing now",
        "units: ['fc8:0', 'fc8:1'] there, 10 of them, fc8:0 to fc8:9 now",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "holds no atlas: it has no atlas.json"),
        ("{", "atlas.json is damaged: it is not JSON"),
        ("[]", "is not version 2 of the format 'mfvjax-atlas'"),
        ('{"format": "mfvjax-atlas", "version": 1}', "is not version 2"),
        ('{"format": "mfvjax-atlas", "version": 2, "plan": {}}', "does not have the fields"),
    ],
)
def test_a_plan_that_cannot_be_read(text, message, tmp_path):
    if text is not None:
        (tmp_path / "atlas.json").write_text(text)
    with pytest.raises(AtlasError, match=message):
        read_plan(tmp_path)


class Names(ArraySource):
    """Images that have names and labels, and little else."""

    def __init__(self, names, labels=None):
        super().__init__(np.zeros((len(names), 2, 2, 3), np.uint8))
        self.names, self.labels = names, labels


def test_labels_come_from_folders_names_and_the_source():
    source = Names(
        ["train/n01440764/a.jpg", "n01440764_tench.jpg", "Golf_Ball/b.jpg", "c.jpg"],
        ["train", "", "Golf_Ball", "tench, Tinca tinca"],
    )
    found = images_by_label(source)
    assert found["n01440764"] == [0, 1]
    assert found["golf ball"] == [2]
    assert found["tench, tinca tinca"] == [3]
    assert select_label(source, "GOLF ball").indices == [2]
    with pytest.raises(ValueError, match="no image has the label 'cat'; labels here: golf ball"):
        select_label(source, "cat")


def test_classes_are_known_by_identifier_name_or_own_synonym():
    names = ["crane, bird", "crane, machine", "tench, Tinca tinca", "goldfish"]
    found = {"crane": [0], "machine": [1], "tench, tinca tinca": [2], "n4": [3]}
    labels = class_labels(names, found, num_classes=4, ids=["n1", "n2", "n3", "n4"])
    assert labels == [None, "machine", "tench, tinca tinca", "n4"]
    # As many WordNet identifiers as classes are the classes, in their order.
    wordnet = {"n00000002": [0], "n00000001": [1], "photos": [2]}
    assert class_labels(None, wordnet, num_classes=2) == ["n00000001", "n00000002"]
    assert class_labels(None, wordnet, num_classes=3) == [None] * 3
    with pytest.raises(ValueError, match="2 identifiers for 4 classes"):
        class_labels(names, found, num_classes=4, ids=["n1", "n2"])


def test_identifiers_of_classes_from_a_file(tmp_path):
    (tmp_path / "words.txt").write_text("n01440764 tench, Tinca tinca\nn01443537 goldfish\n")
    assert read_class_ids(tmp_path / "words.txt") == ["n01440764", "n01443537"]
    (tmp_path / "words.txt").write_text("a\n\nb\n")
    with pytest.raises(ValueError, match="every line must begin with the identifier"):
        read_class_ids(tmp_path / "words.txt")


HOLD = """
import sys, pathlib, json
from mfvjax.atlas.locks import UnitLocks
locks = UnitLocks(pathlib.Path(sys.argv[1]))
locks.lock(["fc8:5"], [5])
print("held", flush=True)
sys.stdin.read()
"""


def test_two_processes_meet_on_a_common_unit_only(tmp_path):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout.readline() == b"held\n"
    units = [f"fc8:{i}" for i in range(7)]
    with UnitLocks(tmp_path) as locks:
        locks.lock(units[:5], range(5))
        with pytest.raises(AtlasBusyError, match=r"is working on fc8:5 in .*; let it finish"):
            locks.lock(units, range(7))
    other.kill()
    other.communicate()
    with UnitLocks(tmp_path) as locks:
        locks.lock(units, range(7))


def test_folders_that_are_not_atlases_are_left_alone(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"a cat")
    (tmp_path / "file").write_text("text")
    with pytest.raises(AtlasError, match="photos is not empty and holds no atlas"):
        AtlasFolder(tmp_path / "photos", make_plan())
    with pytest.raises(AtlasError, match="file is a file; an atlas needs a folder"):
        AtlasFolder(tmp_path / "file", make_plan())
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.jpg"]


def test_other_options_in_the_same_folder_are_refused(tmp_path):
    AtlasFolder(tmp_path / "atlas", make_plan()).__exit__()
    (tmp_path / "atlas" / "found").mkdir()
    (tmp_path / "atlas" / "found" / "fc8-0000.npz").write_bytes(b"facets, found before")
    before = json.loads((tmp_path / "atlas" / "atlas.json").read_text())
    with pytest.raises(AtlasError, match=r"another atlas; hold: 1\.0 there, 0\.0 now; seed: 0 th"):
        AtlasFolder(tmp_path / "atlas", make_plan(hold=0.0, seed=3))
    assert json.loads((tmp_path / "atlas" / "atlas.json").read_text()) == before
    # The size of batches is kept unless it was asked for.
    with pytest.raises(AtlasError, match="facets_per_device: 3 there, 4 now"):
        AtlasFolder(tmp_path / "atlas", make_plan(facets_per_device=4))
    with AtlasFolder(
        tmp_path / "atlas", make_plan(facets_per_device=4), adopt_batches=True
    ) as folder:
        assert folder.plan.facets_per_device == 3
