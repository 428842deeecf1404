"""Codes and activations against loops in NumPy, and the cache that keeps them."""

import dataclasses
import pathlib
import warnings

import numpy as np
import pytest
from PIL import Image

from mfvjax.facets import code_pass
from mfvjax.facets.code_cache import DamagedCodesWarning
from mfvjax.facets.codes import Codes, compute_codes
from mfvjax.facets.reading import as_arrays, request_unit
from mfvjax.images import (
    ArraySource,
    Decoding,
    SelectedSource,
    UnreadableImageError,
    open_images,
)
from mfvjax.types import Unit
from tests.exact_network import counted, exact_network, exact_params, slow_activations, small_images

IMAGES = small_images(11)
SLOW = slow_activations(IMAGES)
NETWORK = exact_network()[0]  # shared, so that it is compiled once per batch size and layer


@pytest.mark.parametrize("batch_size", [1, 4, 11, 32])
def test_class_unit_has_the_code_of_the_layer_before(batch_size):
    network = NETWORK
    found = compute_codes(network, IMAGES, unit="classes:2", batch_size=batch_size)
    assert (found.unit, found.layer) == (Unit("classes", 2), "hidden")
    assert np.array_equal(found.codes, SLOW["hidden"])
    assert np.array_equal(found.activations, SLOW["classes"][:, 2])
    assert found.positions is None
    assert found.names == tuple(str(index) for index in range(11))
    assert found.indices.tolist() == list(range(11))
    assert {found.codes.dtype, found.activations.dtype} == {np.dtype(np.float32)}


def test_hidden_dense_unit_has_the_code_of_its_own_layer():
    found = compute_codes(NETWORK, IMAGES, unit=Unit("hidden", 3))
    assert found.layer == "hidden"
    assert np.array_equal(found.codes, SLOW["hidden"])
    assert np.array_equal(found.activations, SLOW["hidden"][:, 3])


@pytest.mark.parametrize("positions", ["inside", "all"])
@pytest.mark.parametrize("channel", range(5))
def test_convolutional_unit_has_the_column_at_its_maximum(channel, positions):
    options = {} if positions == "inside" else {"positions": positions}
    found = compute_codes(NETWORK, IMAGES, unit=f"map:{channel}", batch_size=4, **options)
    for row, maps in enumerate(SLOW["map"]):
        # The first of equals.
        best = max(counted(positions), key=lambda at: maps[at][channel])
        assert tuple(found.positions[row]) == best
        assert found.activations[row] == maps[best][channel]
        assert np.array_equal(found.codes[row], maps[best])
    assert found.unit == Unit("map", channel)
    assert len({tuple(position) for position in found.positions}) > 3


def test_a_position_that_was_asked_for_is_kept():
    found = compute_codes(NETWORK, IMAGES, unit="map:1@2,4", batch_size=4)
    assert found.unit == Unit("map", 1, (2, 4))
    assert np.array_equal(found.codes, SLOW["map"][:, 2, 4])
    assert np.array_equal(found.activations, SLOW["map"][:, 2, 4, 1])
    assert (found.positions == (2, 4)).all()


def test_tokens_are_positions():
    free, fixed = compute_codes(NETWORK, IMAGES, units=["tokens:6", "tokens:6@9,0"])
    best = SLOW["tokens"][:, :, 6].argmax(axis=1)
    assert free.positions.tolist() == [[token, 0] for token in best]
    assert np.array_equal(free.codes, SLOW["tokens"][np.arange(11), best])
    assert np.array_equal(fixed.codes, SLOW["tokens"][:, 9])
    assert np.array_equal(fixed.activations, SLOW["tokens"][:, 9, 6])


@pytest.mark.parametrize("layer", ["map", "tokens"])
def test_code_of_another_layers_map_is_its_mean(layer):
    mean = SLOW[layer].reshape(11, 24, -1).mean(axis=1)
    found = compute_codes(NETWORK, IMAGES, unit="classes:0", code_layer=layer)
    # Whole numbers divided by 24: the only rounding is the last.
    np.testing.assert_allclose(found.codes, mean, rtol=1e-6)
    network, _ = exact_network(class_code_layer=layer)
    by_network = compute_codes(network, IMAGES, unit="classes:0")
    assert by_network.layer == layer
    assert np.array_equal(by_network.codes, found.codes)


def test_a_map_unit_with_a_dense_code_is_still_read_at_its_maximum():
    for positions in ("inside", "all"):
        found = compute_codes(
            NETWORK, IMAGES, unit="map:3", code_layer="hidden", positions=positions
        )
        assert np.array_equal(found.codes, SLOW["hidden"])
        values = [[maps[at][3] for at in counted(positions)] for maps in SLOW["map"]]
        assert np.array_equal(found.activations, np.max(values, axis=1))


def equal(one: Codes, other: Codes) -> bool:
    arrays = ("codes", "activations", "positions", "indices")
    same = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays)
    rest = ("unit", "layer", "names", "skipped")
    return same and all(getattr(one, name) == getattr(other, name) for name in rest)


def test_many_units_in_one_pass_are_the_same_as_one_by_one():
    units = ["classes:1", "map:2", "hidden:0", "map:4@0,5", "classes:3", "map:2"]
    network, traces = exact_network()
    together = compute_codes(network, IMAGES, units=units, batch_size=4)
    assert len(traces) == 1
    for unit, found in zip(units, together, strict=True):
        assert equal(found, compute_codes(network, IMAGES, unit=unit, batch_size=4))
    assert np.shares_memory(together[0].codes, together[4].codes)


def test_one_compilation_for_all_batches_units_and_images_of_a_layer():
    network, traces = exact_network()
    for unit in ("map:0", "map:3", "map:3@1,1"):
        compute_codes(network, IMAGES, unit=unit, batch_size=4)
        compute_codes(network, IMAGES[:3], unit=unit, batch_size=4)
    assert len(traces) == 1


def test_layers_that_nobody_asked_for_are_not_computed():
    network = NETWORK

    def compiled(unit: str, code_layer: str) -> str:
        layers = code_pass.Layers(unit.split(":")[0], code_layer)
        asked = {layers: as_arrays([request_unit(network, unit)])}
        arguments = (network.params, IMAGES, asked)
        static = {"forward": network.forward, "preprocessing": network.preprocessing}
        return code_pass.read_batch.lower(*arguments, **static).compile().as_text()

    assert "tanh" in compiled("classes:0", "unused")
    assert "tanh" not in compiled("classes:0", "hidden")


class BreakableSource(ArraySource):
    """Arrays, some of which cannot be read."""

    def __init__(self, images, broken=()):
        super().__init__(images)
        self.broken = broken
        self.num_read = 0

    def read(self, index):
        self.num_read += 1
        if index in self.broken:
            raise UnreadableImageError(self.names[index], "it is broken")
        return super().read(index)


def test_unreadable_images_are_left_out_and_named():
    source = BreakableSource(IMAGES, broken=(0, 4, 10))
    found = compute_codes(NETWORK, source, unit="classes:2", batch_size=4)
    kept = [1, 2, 3, 5, 6, 7, 8, 9]
    assert found.indices.tolist() == kept
    assert found.names == tuple(str(index) for index in kept)
    assert np.array_equal(found.codes, SLOW["hidden"][kept])
    assert [str(image) for image in found.skipped] == [f"{i}: it is broken" for i in (0, 4, 10)]
    with pytest.raises(UnreadableImageError, match="image '0' cannot be read"):
        compute_codes(NETWORK, source, unit="classes:2", on_error="raise")


def test_progress_counts_every_image_once():
    calls = []
    source = BreakableSource(IMAGES, broken=(3,))
    report = lambda done, total: calls.append((done, total))  # noqa: E731
    compute_codes(NETWORK, source, unit="map:0", batch_size=4, progress=report)
    assert calls[-1] == (11, 11)
    assert [total for _, total in calls] == [11] * 3
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})


def test_the_resize_rule_is_used():
    large = [np.kron(image, np.ones((2, 2, 1), np.uint8)) for image in IMAGES]
    cropped = [image[4:13, 5:16] for image in large]
    network = NETWORK
    found = compute_codes(network, large, unit="map:0", resize_shorter=None)
    assert np.array_equal(found.codes, compute_codes(network, cropped, unit="map:0").codes)
    tall = [image[:, :3] for image in IMAGES]
    free = compute_codes(network, tall, unit="map:0")
    warped = compute_codes(network, tall, unit="map:0", warp=True)
    assert not np.array_equal(free.codes, warped.codes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give either unit or units"),
        ({"unit": "map:0", "units": ["map:0"]}, "give either unit or units"),
        ({"units": []}, "units is empty"),
        ({"unit": "map"}, "is not of the form LAYER:INDEX"),
        ({"unit": "fc8:1"}, "no layer 'fc8'; the layers are: map, tokens"),
        ({"unit": "map:5"}, "has units map:0 to map:4"),
        ({"unit": "map:0@4,0"}, "has rows 0 to 3"),
        ({"unit": "map:0", "code_layer": "fc7"}, "code_layer='fc7' is no layer; the layers are: m"),
    ],
)
def test_wrong_questions(options, message):
    with pytest.raises(ValueError, match=message):
        compute_codes(NETWORK, IMAGES, **options)


def test_no_readable_image():
    source = BreakableSource(IMAGES[:2], broken=(0, 1))
    with pytest.raises(ValueError, match="none of 2 images can be read; the first: 0: it is bro"):
        compute_codes(NETWORK, source, unit="map:0")


def test_codes_that_are_not_finite_are_told():
    network = NETWORK
    params = network.params | {"classes": np.full_like(network.params["classes"], np.inf)}
    broken = dataclasses.replace(network, params=params)
    with pytest.raises(ValueError, match="unit classes:0 or its code is not finite on image '0'"):
        compute_codes(broken, IMAGES, unit="classes:0")


# ---- the cache ----


def cached_files(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(folder.iterdir())


@pytest.mark.parametrize("unit", ["classes:2", "map:1", "map:1@2,4", "tokens:3"])
def test_the_second_time_nothing_is_read(tmp_path, unit):
    network, traces = exact_network()
    source = BreakableSource(IMAGES, broken=(5,))
    first = compute_codes(network, source, unit=unit, cache_dir=tmp_path / "new" / "folder")
    source.num_read = 0
    second = compute_codes(network, source, unit=unit, cache_dir=tmp_path / "new" / "folder")
    assert equal(first, second)
    assert second.skipped
    assert (source.num_read, len(traces)) == (0, 1)


def test_only_missing_units_are_computed(tmp_path):
    network = NETWORK
    source = BreakableSource(IMAGES)
    compute_codes(network, source, units=["map:1", "classes:0"], cache_dir=tmp_path)
    source.num_read = 0
    found = compute_codes(
        network, source, units=["map:1", "map:2", "classes:0"], cache_dir=tmp_path
    )
    assert source.num_read == 11
    plain = compute_codes(network, source, units=["map:1", "map:2", "classes:0"])
    assert all(equal(one, other) for one, other in zip(found, plain, strict=True))
    assert len(cached_files(tmp_path)) == 3


def test_a_run_that_skipped_does_not_answer_for_one_that_must_not(tmp_path):
    source = BreakableSource(IMAGES, broken=(5,))
    network = NETWORK
    compute_codes(network, source, unit="map:1", cache_dir=tmp_path)
    with pytest.raises(UnreadableImageError, match="image '5'"):
        compute_codes(network, source, unit="map:1", cache_dir=tmp_path, on_error="raise")


def test_everything_that_changes_the_codes_changes_the_key(tmp_path):
    """One more file in the cache for every difference, and none for none."""
    folder = tmp_path / "images"
    folder.mkdir()
    for index, image in enumerate(IMAGES[:3]):
        Image.fromarray(image).save(folder / f"{index}.png")
    files, cache = open_images(folder), tmp_path / "cache"
    other = dataclasses.replace(NETWORK, params=exact_params(5))

    def ask(network=NETWORK, images=files, unit="map:1", **options):
        compute_codes(network, images, unit=unit, cache_dir=cache, batch_size=4, **options)
        return len(cached_files(cache))

    assert ask() == 1
    assert ask(images=open_images(folder)) == 1
    assert ask(exact_network()[0]) == 1  # the same network, made again
    assert ask(other) == 2
    assert ask(unit="map:2") == 3
    assert ask(unit="map:1@0,0") == 4
    assert ask(code_layer="hidden") == 5
    assert ask(resize_shorter=None) == 6
    assert ask(resize_shorter=20) == 7
    assert ask(resize_shorter=20, warp=True) == 8
    assert ask(images=open_images(folder, decoding=Decoding(background=(0, 0, 0)))) == 9
    assert ask(images=SelectedSource(files, [2, 1, 0])) == 10
    assert ask(images=SelectedSource(files, [0, 1])) == 11
    assert ask(images=SelectedSource(files, [0, 1, 2])) == 11
    Image.fromarray(IMAGES[4]).save(folder / "1.png")
    assert ask() == 12
    (folder / "1.png").unlink()
    assert ask() == 13


def overwrite(path: pathlib.Path, how: str) -> None:
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-40])
    elif how == "garbage":
        path.write_bytes(b"no archive at all")
    elif how == "one bit":
        data = bytearray(path.read_bytes())
        data[data.index(b"NUMPY") + 200] ^= 1
        path.write_bytes(bytes(data))
    else:
        with np.load(path) as file:
            arrays = dict(file)
        if how == "missing array":
            del arrays["places"]
        elif how == "other length":
            arrays["codes"] = arrays["codes"][:-1]
        elif how == "pickled":
            arrays["codes"] = np.array([{"a": 1}], object)
        np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("truncated", "."),
        ("garbage", "."),
        ("one bit", "CRC"),
        ("missing array", r"it holds \['activations', 'codes', 'indices', 'reasons', 'skipped'\]"),
        ("other length", r"its arrays have \[10, 11, 11, 11\] rows, the source has 11"),
        ("pickled", "allow_pickle=False"),
    ],
)
def test_damaged_cache_files_are_told_of_and_replaced(tmp_path, how, message):
    network = NETWORK
    first = compute_codes(network, IMAGES, unit="map:1", cache_dir=tmp_path)
    (path,) = cached_files(tmp_path)
    good = path.read_bytes()
    overwrite(path, how)
    with pytest.warns(DamagedCodesWarning, match=f"(?s){path.name}.*damaged.*{message}"):
        again = compute_codes(network, IMAGES, unit="map:1", cache_dir=tmp_path)
    assert equal(first, again)
    assert cached_files(tmp_path) == [path]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert equal(first, compute_codes(network, IMAGES, unit="map:1", cache_dir=tmp_path))
    assert len(path.read_bytes()) == len(good)


def test_a_killed_write_leaves_nothing(tmp_path, monkeypatch):
    def killed(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", killed)
    with pytest.raises(KeyboardInterrupt):
        compute_codes(NETWORK, IMAGES, unit="map:1", cache_dir=tmp_path)
    assert cached_files(tmp_path) == []
