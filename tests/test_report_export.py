"""Runs as tables and as JSON: every number where it belongs, with its bounds beside it."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from mfvjax.report import facet_table, run_facts, write_table
from mfvjax.store import save_run
from tests.judged_runs import judged_run
from tests.run_example import example_run


@pytest.fixture(scope="module")
def run():
    return judged_run(judges=("other <net>", "third", "third"))


def rows_of(rows, shows):
    return [row for row in rows if row["shows"] == shows]


def test_every_facet_has_its_scores_beside_its_start_and_its_real_images(run):
    rows = facet_table(run)
    assert {row["unit"] for row in rows} == {"fc8:1"}
    assert {row["network"] for row in rows} == {run.network["name"]}
    for shows in ("visualization", "start", "real"):
        assert [row["facet"] for row in rows_of(rows, shows)] == [1, 2, 3]
    for k, row in enumerate(rows_of(rows, "visualization")):
        assert row["images"] == run.facets.sizes[k]
        assert row["seen_as"] == run.shown.top_class_names[k][0]
        for name, values in run.scores.items():
            expected = float(values[k])
            assert row[name] == (expected if np.isfinite(expected) else None), name
        assert row["third.rank"] == run.judgements[1].shown.rank[k]
        assert row["third#2.rank"] == run.judgements[2].shown.rank[k]
    for k, row in enumerate(rows_of(rows, "start")):
        assert row["other <net>.rank"] == run.judgements[0].start.rank[k]
        assert "activation" not in row
    for k, row in enumerate(rows_of(rows, "real")):
        own = sorted(run.real.activations[run.real.assignment == k])
        middle = (own[(len(own) - 1) // 2] + own[len(own) // 2]) / 2
        assert row["activation"] == pytest.approx(middle)
        judgement = run.judgements[0]
        recalled = judgement.real.recalled[judgement.real_facets == k]
        assert row["other <net>.recalled"] == pytest.approx(sum(recalled) / len(recalled))
        assert row["other <net>.seen_as"] is None  # several images


def test_controls_and_chance_have_rows_of_their_own(run):
    rows = facet_table(run)
    controls = [row for row in rows if row["shows"].startswith("control:")]
    assert [row["shows"] for row in controls] == [f"control:{n}" for n in run.controls.names]
    largest = float(run.real.activations.max())
    for i, row in enumerate(controls):
        assert row["facet"] == run.controls.facet + 1
        assert row["third.rank"] == run.judgements[1].controls.rank[i]
        activation = float(run.controls.activations[i])
        if not np.isfinite(activation):
            assert row["activation"] is row["activation_ratio"] is None
            continue
        assert row["activation"] == activation
        assert row["activation_ratio"] == pytest.approx(activation / largest)
    (chance,) = rows_of(rows, "chance")
    assert chance["facet"] is None
    assert chance["facet_recall"] == pytest.approx(1 / 3)
    assert chance["third.rank"] == 500.5
    assert chance["third.probability"] == pytest.approx(1 / 1000)


def test_runs_without_judges_or_controls_have_fewer_rows():
    rows = facet_table(example_run())
    assert [row["shows"] for row in rows] == ["visualization"] * 3 + ["start"] * 3 + [
        "real"
    ] * 3 + ["chance"]


def test_a_csv_reads_back(run, tmp_path):
    path = write_table([run, example_run(2)], tmp_path / "table.csv")
    with open(path, encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    expected = [*facet_table(run), *facet_table(example_run(2))]
    assert len(read) == len(expected)
    for row, wanted in zip(read, expected, strict=True):
        for name, text in row.items():
            value = wanted.get(name)
            assert text == ("" if value is None else str(value)), name


def test_names_are_no_formulas_in_a_spreadsheet(tmp_path):
    run = example_run()
    names = (("=1+1",), ("@cmd",), ("plain",))
    run = dataclasses.replace(run, shown=dataclasses.replace(run.shown, top_class_names=names))
    text = write_table(run, tmp_path / "table.csv").read_text()
    assert "'=1+1" in text
    assert "'@cmd" in text
    assert "'plain" not in text
    rows = json.loads(write_table(run, tmp_path / "table.json").read_text())
    assert rows[0]["seen_as"] == "=1+1"


def test_a_json_table_has_what_the_rows_have(run, tmp_path):
    rows = json.loads(write_table(run, tmp_path / "table.json").read_text("utf-8"))
    expected = [
        {name: value for name, value in row.items() if value is not None}
        for row in facet_table(run)
    ]
    assert rows == expected


def test_facts_are_strict_json(run):
    facts = run_facts(run)
    text = json.dumps(facts, allow_nan=False)
    assert json.loads(text) == facts
    assert facts["judgements"][1]["facets"]["rank"] == run.judgements[1].shown.rank.tolist()
    assert facts["controls"]["activation"][2] is None  # NaN in the run


def test_other_files_and_no_runs_are_refused(run, tmp_path):
    with pytest.raises(ValueError, match=r"table\.xlsx: a table is written as \.csv or \.json"):
        write_table(run, tmp_path / "table.xlsx")
    with pytest.raises(ValueError, match="there are no runs to write"):
        write_table([], tmp_path / "table.csv")
    assert not list(tmp_path.iterdir())


def test_the_command_takes_several_runs(run, tmp_path, command_line):
    other = dataclasses.replace(example_run(2), unit="fc8:2")
    folders = [tmp_path / "one", tmp_path / "two"]
    for one, folder in zip((run, other), folders, strict=True):
        save_run(one, folder)
    out = tmp_path / "table.csv"
    code, said, _ = command_line("export", *folders, "-o", out)
    assert (code, said) == (0, f"2 runs in {out}\n")
    with open(out, encoding="utf-8", newline="") as file:
        units = [row["unit"] for row in csv.DictReader(file)]
    assert units == ["fc8:1"] * len(facet_table(run)) + ["fc8:2"] * len(facet_table(other))
    code, said, _ = command_line("export", folders[0], "-q", "-o", out)
    assert (code, said) == (0, "")
    code, _, error = command_line("export", tmp_path / "none", "-o", out)
    assert code == 1
    assert "none" in error
    code, _, error = command_line("export", folders[0], "-o", tmp_path / "table.txt")
    assert code == 1
    assert "is written as .csv or .json" in error
