"""The benchmark's transformer against plain NumPy, and what its table is made of."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy.special import ndtr

from benchmarks import small_transformer as small
from benchmarks import transformer
from mfvjax.facetworld.catalog import CLASSES
from tests.judged_runs import judged_run

PARAMS = jax.tree.map(np.asarray, small.init(jax.random.key(0), len(CLASSES)))


def normalized(tokens):
    return (tokens - tokens.mean(-1, keepdims=True)) / np.sqrt(tokens.var(-1, keepdims=True) + 1e-6)


def dense(name, inputs):
    return inputs @ PARAMS[f"{name}/kernel"] + PARAMS[f"{name}/bias"]


def block_in_loops(name, tokens):
    """One block of one image, head by head and token by token."""
    first, second = PARAMS[f"{name}/scale"]
    query, key, value = np.split(dense(f"{name}/qkv", normalized(tokens) * first), 3, axis=-1)
    width = small.WIDTH // small.NUM_HEADS
    mixed = np.zeros_like(tokens)
    for head in range(small.NUM_HEADS):
        own = slice(head * width, (head + 1) * width)
        for t in range(len(tokens)):
            scores = np.exp(key[:, own] @ query[t, own] / np.sqrt(width))
            mixed[t, own] = scores @ value[:, own] / scores.sum()
    tokens = tokens + dense(f"{name}/out", mixed)
    up = dense(f"{name}/up", normalized(tokens) * second)
    cubic = np.sqrt(2 / np.pi) * (up + 0.044715 * up**3)
    assert np.abs(0.5 * up * (1 + np.tanh(cubic)) - up * ndtr(up)).max() < 1e-3
    return tokens + dense(f"{name}/down", 0.5 * up * (1 + np.tanh(cubic)))


def test_blocks_are_those_of_numpy_and_tokens_can_be_asked_for():
    network = small.network(PARAMS, CLASSES)
    assert network.input_size == (96, 96)
    assert network.layers["block2"].shape == (145, small.WIDTH)
    assert network.logits_layer == "logits"
    assert network.code_layer("logits") == "class_token"
    assert str(network.resolve("block2:7@cls")) == str(network.resolve("block2:7@0,0"))
    image = np.random.default_rng(0).uniform(0, 255, (1, 96, 96, 3)).astype(np.float32)
    found = {name: np.asarray(a, np.float64)[0] for name, a in network.activations(image).items()}
    for number in range(1, small.NUM_BLOCKS):
        expected = block_in_loops(f"block{number}", found[f"block{number - 1}"])
        np.testing.assert_allclose(found[f"block{number}"], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        found["class_token"], normalized(found["block3"])[0], rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(
        found["logits"], dense("head", found["class_token"]), rtol=1e-4, atol=1e-4
    )


def test_parameters_are_kept(tmp_path):
    small.save(PARAMS, tmp_path / "small.safetensors")
    kept = small.load(tmp_path / "small.safetensors")
    assert set(kept) == set(PARAMS)
    for name, values in PARAMS.items():
        np.testing.assert_array_equal(kept[name], values)


@pytest.mark.parametrize("with_class", [True, False])
def test_a_line_has_what_the_judge_says_beside_its_bounds(with_class):
    run = judged_run(with_class=with_class)
    scores = {**run.scores, "activation_ratio": np.array([1.0, 2.0, 3.0])}
    run = dataclasses.replace(run, scores=scores)
    seen = run.judgements[0].summary
    line = transformer.row("unit", run)
    assert line[:2] == ["unit", 3]
    parts = [seen[part] for part in ("shown", "start", "real")]
    assert line[2:5] == ([p["top_1"] for p in parts] if with_class else [None] * 3)
    assert line[5:8] == [p["recall"] for p in parts]
    assert line[8:] == [pytest.approx(1 / 3), pytest.approx(2.0)]
    assert len(line) == len(transformer._COLUMNS)
