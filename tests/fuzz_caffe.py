"""Damages Caffe's files thousands of times and says what became of each: run as a program.

    python -m tests.fuzz_caffe FOLDER SCALE

A process of its own, as the tests' type checks would make each file take a hundred times as long.
Prints one JSON object. Any error other than the converter's own ends the program.
"""

import collections
import json
import pathlib
import random
import re
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np

from mfvjax.models.graph import GraphSpec
from tests.caffe_writer import Node, prototxt_text, to_v1_text, write_nodes
from tests.test_caffe_graph_layers import CONVOLUTIONS, DIMS, POINTWISE, POOLINGS, STRUCTURE
from weights_convert import CaffeFormatError, CaffeWarning, read_caffe
from weights_convert.plan import plan_prototxt

NORM = [np.float32([0.1, 0.2, 0.3, 0.4]), np.float32([1.1, 1.2, 1.3, 1.4]), np.float32([7.3])]
NODES = [*CONVOLUTIONS[:2], STRUCTURE[0], STRUCTURE[10], POINTWISE[2]]
NODES += [Node("norm", "BatchNorm", ["data"], ["norm"], {}, NORM)]
TEXTS = [prototxt_text(nodes, dims=DIMS) for nodes in (CONVOLUTIONS, POOLINGS, POINTWISE)]
TEXTS += [prototxt_text(STRUCTURE, dims=DIMS), to_v1_text(TEXTS[0])]
NUMBERS = ["-1", "0", "1", "3", "7", "1000000000", "2147483647", "2147483648", "4294967296"]
NUMBERS += ["99999999999999999999", "-9223372036854775808", "1e30", "nan", "-inf", "0x7fffffff"]
NUMBERS += ['"x"', "true", "{", "}", "MAX"]
_WORD = re.compile(r'[\w.-]+|"[^"]*"|[{}:]')


class Weights:
    """A network's files, and a try to read them with the weights replaced."""

    def __init__(self, folder: pathlib.Path, **form) -> None:
        self.files = write_nodes(folder, NODES, dims=DIMS, **form)
        self.raw = self.files[1].read_bytes()
        self.graph, self.arrays = read_caffe(*self.files)

    def read(self, raw: bytes) -> str:
        """``"refused"``, or how many numbers differ from those of the undamaged file."""
        self.files[1].write_bytes(raw)
        try:
            graph, arrays = read_caffe(*self.files)
        except CaffeFormatError as error:
            return "refused" if str(error).startswith(str(self.files[1])) else f"unnamed: {error}"
        assert graph == self.graph
        assert arrays.keys() == self.arrays.keys()
        assert all(arrays[name].shape == self.arrays[name].shape for name in arrays)
        assert all(np.isfinite(array).all() for array in arrays.values())
        return str(sum(int((arrays[name] != self.arrays[name]).sum()) for name in arrays))

    def number_bytes(self) -> set[int]:
        """Where the numbers lie in the file, written whole or in two pieces."""
        places: set[int] = set()
        for blob in (blob for node in NODES for blob in node.blobs):
            for part in (blob.reshape(-1), *np.array_split(blob.reshape(-1), 2)):
                for found in re.finditer(re.escape(part.tobytes()), self.raw):
                    places |= set(range(*found.span())) if part.size else set()
        return places


def cut(weights: Weights, count: int) -> dict[str, int]:
    """Cuts the file at places all over it."""
    places = np.linspace(0, len(weights.raw) - 1, count).astype(int)
    return collections.Counter(weights.read(weights.raw[:n]) for n in places)


def flip(weights: Weights, count: int) -> dict[str, int]:
    """Flips one bit, half of the time outside the numbers."""
    rng, inside = random.Random(0), weights.number_bytes()
    outside = [place for place in range(len(weights.raw)) if place not in inside]
    outcomes: dict[str, int] = collections.Counter()
    for i in range(count):
        kind, places = ("number", sorted(inside)) if i % 2 else ("other", outside)
        raw = bytearray(weights.raw)
        raw[rng.choice(places)] ^= 1 << rng.randrange(8)
        outcomes[f"{kind} {weights.read(bytes(raw))}"] += 1
    return outcomes


def splice(weights: Weights, count: int) -> dict[str, int]:
    """Deletes, copies and overwrites pieces."""
    rng = random.Random(1)
    outcomes: dict[str, int] = collections.Counter()
    for _ in range(count):
        raw = bytearray(weights.raw)
        for _ in range(rng.randrange(1, 5)):
            _splice(raw, rng)
        outcome = weights.read(bytes(raw))
        outcomes[outcome if outcome in ("refused", "0") or ":" in outcome else "changed"] += 1
    return outcomes


def _splice(raw: bytearray, rng: random.Random) -> None:
    where, other, length = rng.randrange(len(raw)), rng.randrange(len(raw)), rng.randrange(1, 40)
    match rng.randrange(5):
        case 0:
            del raw[where : where + length]
        case 1:
            raw[where:where] = raw[other : other + length]
        case 2:
            raw[where : where + length] = rng.randbytes(length)
        case 3:
            raw[where:where] = b"\xff" * rng.randrange(1, 12)
        case _:
            raw[where] = rng.choice([0, 1, 127, 128, 255])


def definitions(folder: pathlib.Path, count: int) -> dict[str, int]:
    """Damages definitions; what is accepted must be a graph that checks itself."""
    rng, path = random.Random(2), folder / "damaged.prototxt"
    outcomes: dict[str, int] = collections.Counter()
    for _ in range(count):
        text = rng.choice(TEXTS)
        for _ in range(rng.randrange(1, 4)):
            text = _damage(text, rng)
        path.write_text(text, encoding="utf-8")
        try:
            graph = plan_prototxt(path).graph
        except CaffeFormatError as error:
            outcomes["refused" if str(error).startswith(str(path)) else f"unnamed: {error}"] += 1
        else:
            assert GraphSpec.from_json(graph.to_json()) == graph
            outcomes["accepted"] += 1
    return outcomes


def _damage(text: str, rng: random.Random) -> str:
    words = [match.span() for match in _WORD.finditer(text)] or [(0, 0)]
    start, stop = rng.choice(words)
    lines = text.split("\n")
    first, count = rng.randrange(len(lines)), rng.randrange(1, 8)
    match rng.randrange(7):
        case 0:
            return text[:start] + text[stop:]
        case 1:
            return text[:start] + text[slice(*rng.choice(words))] + text[stop:]
        case 2 | 3:
            digits = [span for span in words if text[slice(*span)].lstrip("-").isdigit()]
            start, stop = rng.choice(digits or words)
            return text[:start] + rng.choice(NUMBERS) + text[stop:]
        case 4:
            return "\n".join(lines[:first] + lines[first + count :])
        case 5:
            return "\n".join(lines[: first + count] + lines[first:])
        case _:
            place = rng.randrange(len(text) + 1)
            return text[:place] + chr(rng.randrange(256)) * rng.randrange(2) + text[place + 1 :]


def main(folder: pathlib.Path, scale: int) -> dict[str, dict[str, float]]:
    """Outcomes by what was done, each with the seconds of processor time."""
    warnings.simplefilter("ignore", CaffeWarning)
    (folder / "new").mkdir()
    (folder / "old").mkdir()
    new = Weights(folder / "new")
    old = Weights(folder / "old", old_shape=True, pieces=2)
    steps: dict[str, Callable[[], dict[str, int]]] = {
        "cut": lambda: cut(new, 400),
        "cut old": lambda: cut(old, 400),
        "flip": lambda: flip(new, 600 * scale),
        "flip old": lambda: flip(old, 600 * scale),
        "splice": lambda: splice(new, 300 * scale),
        "splice old": lambda: splice(old, 300 * scale),
        "definitions": lambda: definitions(folder, 1500 * scale),
    }
    outcomes = {}
    for name, step in steps.items():
        start = time.process_time()
        outcomes[name] = {**step(), "seconds": time.process_time() - start}
    return outcomes


if __name__ == "__main__":
    print(json.dumps(main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))))
