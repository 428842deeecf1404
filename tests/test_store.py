"""Run folders: what is written is what is read, and people and other programs can read it too."""

import dataclasses
import hashlib
import io
import json

import numpy as np
import pytest
from PIL import Image

from mfvjax.run import Run
from mfvjax.store import is_finished, load_run, open_run_folder, read_header, save_run, write_run
from mfvjax.store.arrays import pack
from tests.run_example import NUM_SHOWN, PHASES, example_run


def assert_same(one, other, where="run"):
    """Equal to the last bit, types and dtypes included; NaN equals NaN."""
    assert type(one) is type(other), where
    if dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            name = field.name
            assert_same(getattr(one, name), getattr(other, name), f"{where}.{name}")
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape) == (other.dtype, other.shape), where
        assert one.tobytes() == other.tobytes(), where
    elif isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            assert_same(one[key], other[key], f"{where}[{key!r}]")
    elif isinstance(one, tuple | list):
        assert len(one) == len(other), where
        for i, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_same(left, right, f"{where}[{i}]")
    else:
        assert one == other or (one != one and other != other), where


def files_of(folder):
    return {str(f.relative_to(folder)): f for f in sorted(folder.rglob("*")) if f.is_file()}


def replaced(run, part, **fields):
    return dataclasses.replace(run, **{part: dataclasses.replace(getattr(run, part), **fields)})


def awkward_runs():
    run = example_run()
    names = ("not text \udcff.jpg", *run.real.names[1:])
    specials = np.array([np.nan, np.inf, -np.inf])
    other_end = run.shown.images + np.float32(0.25)
    no_steps = run.shown.activations[:, :0]
    pictures = tuple(np.rint(i.clip(0, 255)).astype(np.uint8) for i in run.shown.phase_images)
    return {
        "three facets": run,
        "one facet": example_run(num_facets=1, num_images=5),
        "eleven facets": example_run(num_facets=11, num_images=80, image_size=8),
        "name that is not text": replaced(run, "real", names=names),
        "final images of their own": replaced(run, "shown", images=other_end),
        "no phase": replaced(run, "shown", phase_images=(), phase_ends=(), activations=no_steps),
        "pictures of phases": replaced(run, "shown", phase_images=pictures),
        "no class layer": replaced(
            run,
            "shown",
            top_classes=np.zeros((3, 0), np.int32),
            top_scores=np.zeros((3, 0), np.float32),
            top_class_names=((), (), ()),
        ),
        "not finite": dataclasses.replace(
            run, scores={"a": specials}, summary={"b": np.nan, "c": -np.inf}, timings={}
        ),
    }


@pytest.mark.parametrize("name", awkward_runs())
def test_a_run_comes_back_to_the_last_bit(name, tmp_path):
    run = awkward_runs()[name]
    save_run(run, tmp_path / "run")
    assert_same(load_run(tmp_path / "run"), run)
    assert is_finished(tmp_path / "run")


def test_the_comparison_sees_one_bit():
    run = example_run()
    other = np.nextafter(run.shown.images, np.float32(300))
    with pytest.raises(AssertionError, match=r"run\.shown\.images"):
        assert_same(replaced(run, "shown", images=other), run)
    with pytest.raises(AssertionError, match=r"run\.timings"):
        assert_same(dataclasses.replace(run, timings={"codes": 1.0}), run)


def test_tuples_come_back_as_lists_and_scores_in_double_precision(tmp_path):
    options = {"size": (3, (4, 5))}
    single = np.array([0.1, 0.2, 0.3], np.float32)
    save_run(example_run(options=options, scores={"a": single}), tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert run.options == {"size": [3, [4, 5]]}
    assert run.scores["a"].dtype == np.float64
    np.testing.assert_array_equal(run.scores["a"], single)


def test_the_same_run_gives_the_same_bytes(tmp_path):
    for name in "ab":
        save_run(example_run(), tmp_path / name)
    first, second = files_of(tmp_path / "a"), files_of(tmp_path / "b")
    assert list(first) == list(second)
    for name in first:
        assert first[name].read_bytes() == second[name].read_bytes(), name


def test_the_folder_has_the_documented_files(tmp_path):
    run = example_run()
    save_run(run, tmp_path / "run")
    numbers = range(1, run.num_facets + 1)
    expected = {"run.json", "arrays.npz"}
    expected |= {f"facets/{i:02d}{what}.png" for i in numbers for what in ("", "_mean")}
    expected |= {f"facets/{i:02d}_phase{p}.png" for i in numbers for p in range(1, len(PHASES))}
    expected |= {f"nearest/{i:02d}_{j:02d}.png" for i in numbers for j in range(1, NUM_SHOWN + 1)}
    expected -= {f"nearest/{run.num_facets:02d}_{NUM_SHOWN:02d}.png"}  # it has one image fewer
    assert set(files_of(tmp_path / "run")) == expected


def test_run_json_is_strict_json_that_says_what_the_files_are(tmp_path):
    run = example_run()
    save_run(run, tmp_path / "run")

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    text = (tmp_path / "run" / "run.json").read_text(encoding="utf-8")
    head = json.loads(text, parse_constant=refuse)
    assert (head["format"], head["version"]) == ("mfvjax-run", 1)
    assert head["scores"]["color_distance"][1] == "NaN"
    assert run.real.names[2] in text  # readable as it is, not escaped
    on_disk = files_of(tmp_path / "run")
    assert set(head["files"]) == set(on_disk) - {"run.json"}
    for name, entry in head["files"].items():
        data = on_disk[name].read_bytes()
        assert entry == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_the_pictures_show_the_run(tmp_path):
    run = example_run()
    wild = run.shown.images.copy()
    wild[0, 0, :6, 0] = [-3, 0.4, 0.6, 254.6, 300, np.nan]
    save_run(replaced(run, "shown", images=wild), tmp_path / "run")

    def pixels(name):
        return np.asarray(Image.open(tmp_path / "run" / name))

    assert pixels("facets/01.png")[0, :6, 0].tolist() == [0, 0, 1, 255, 255, 0]
    for file, image in {
        "facets/02.png": run.shown.images[1],
        "facets/03_mean.png": run.facets.mean_images[2],
        "facets/02_phase1.png": run.shown.phase_images[0][1],
    }.items():
        assert pixels(file).dtype == np.uint8
        assert np.abs(pixels(file) - image).max() <= 0.5
    np.testing.assert_array_equal(pixels("nearest/02_03.png"), run.facets.nearest_images[1, 2])


def test_numpy_alone_reads_the_arrays_as_documented(tmp_path):
    run = example_run()
    save_run(run, tmp_path / "run")
    with np.load(tmp_path / "run" / "arrays.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["real.map"], run.real.map)
        assert "shown.images.planes" not in arrays.files
        planes = arrays["shown.phase_images.3.planes"]
        images = np.moveaxis(planes, 0, -1).copy().view("<f4")[..., 0]
        np.testing.assert_array_equal(images, run.shown.images)


def test_planes_pack_float_images_tighter_than_plain_arrays():
    rng = np.random.default_rng(0)
    smooth = rng.uniform(0, 255, (1, 8, 8, 3)).repeat(16, 1).repeat(16, 2)
    images = (smooth + rng.normal(0, 1, smooth.shape)).clip(0, 255).astype(np.float32)
    plain = io.BytesIO()
    np.savez_compressed(plain, images=images)
    assert len(pack({"images": images})) < 0.88 * len(plain.getvalue())


def test_what_is_put_beside_the_run_is_published_with_it(tmp_path):
    run = example_run()
    with open_run_folder(tmp_path / "run") as folder:
        write_run(run, folder)
        (folder / "figures").mkdir()
        (folder / "figures" / "map.pdf").write_bytes(b"a figure")
        (folder / "report.html").write_text("a page")
        assert not (tmp_path / "run").exists()
    assert (tmp_path / "run" / "figures" / "map.pdf").read_bytes() == b"a figure"
    (tmp_path / "run" / "report.html").write_text("the page, made again")
    assert_same(load_run(tmp_path / "run"), run)


def test_the_header_is_read_without_the_arrays(tmp_path):
    run = example_run()
    save_run(run, tmp_path / "run")
    (tmp_path / "run" / "arrays.npz").unlink()
    head = read_header(tmp_path / "run")
    assert head["title"] == run.title
    assert head["scores"]["facet_recall"] == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"options": {"a": [1, {2, 3}]}}, r"run\.options\['a'\]\[1\] cannot be stored: \{2, 3\}"),
        ({"options": {"a": np.float32(1)}}, r"run\.options\['a'\] cannot be stored"),
        ({"network": {1: "a"}}, r"run\.network cannot be stored: \{1: 'a'\} is not of a JSON type"),
        ({"versions": {"a": float("nan")}}, r"run\.versions\['a'\] cannot be stored: nan"),
    ],
)
def test_only_json_types_are_stored(fields, message, tmp_path):
    run = example_run()
    broken = Run.__new__(Run)  # past the annotations, which tests check
    for field in dataclasses.fields(Run):
        value = fields.get(field.name, getattr(run, field.name))
        object.__setattr__(broken, field.name, value)
    with pytest.raises(ValueError, match=message):
        save_run(broken, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_images_that_do_not_exist_must_be_black(tmp_path):
    run = example_run()
    images = run.facets.nearest_images.copy()
    images[2, 3, 5, 5, 1] = 1
    with pytest.raises(ValueError, match=r"nearest_images\[2, 3\] must be black"):
        save_run(replaced(run, "facets", nearest_images=images), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
