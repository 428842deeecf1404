"""Small files that ask for huge things: what the converter says, and what it takes to say so.

    python -m tests.hostile_caffe FOLDER

A process of its own, without the tests' type checks. Prints one JSON object: by name of the file,
its size, the error, the processor seconds, and the peak of the memory that Python allocated.
"""

import json
import pathlib
import sys
import time
import tracemalloc
from collections.abc import Callable

from tests.caffe_writer import Node, field, number, varint, write_nodes
from weights_convert import CaffeFormatError, read_caffe
from weights_convert.plan import plan_prototxt

HEAD = "input: 'data' input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8\n"
MILLION, OVERLAP = "num_output: 1000000", "kernel_size: 2147483647 pad: 2147483646"
LAYER = "layer {{ name: '{0}' type: '{1}' {2} top: '{0}' {3} }}\n"


def _chain(kind: str, count: int, options: str = "", copies: int = 1) -> str:
    lines = []
    for i in range(count):
        bottoms = f"bottom: '{i - 1 if i else 'data'}' " * copies
        lines.append(LAYER.format(i, kind, bottoms, options))
    return HEAD + "".join(lines)


def _layer(*parts: bytes) -> bytes:
    return field(100, field(1, b"x") + b"".join(parts))


DEFINITIONS = {
    "nested": "a {" * 10**6,
    "fields": "a:1 " * 10**6,
    "open string": "a: '" + "x" * 10**6,
    "digits": "a: " + "1" * 10**6,
    "comments": "#\n" * 10**6,
    "doubling": _chain("Concat", 1000, copies=2),
    "growing": _chain("Convolution", 2, "convolution_param { kernel_size: 1 num_output: 1000000 }"),
    "overlapping": _chain(
        "Pooling", 2, "pooling_param { kernel_size: 2147483647 pad: 2147483646 }"
    ),
    "tops": HEAD + "layer { name: 'a' type: 'Split' bottom: 'data' " + "top: 'b' " * 20_000 + "}",
    "bottoms": HEAD + LAYER.format("a", "Concat", "bottom: 'data' " * 20_000, ""),
}
WEIGHTS = {
    "one length": b"\xa2\x06" + varint(2**60),
    "lengths inside": _layer(field(7, b"\x2a" + varint(2**40))),
    "sizes": _layer(field(7, field(7, field(1, varint(2**31) * 4)))),
    "old sizes": _layer(field(7, b"".join(number(i, 2**31) for i in (1, 2, 3, 4)))),
    "shape": _layer(field(7, field(7, field(1, b"\1" * 10**6)))),
    "blobs": _layer(field(7, b"") * 10**6),
    "layers": field(100, b"") * 10**6,
    "zeros": bytes(10**6),
    "ones": b"\xff" * 10**6,
}


def _measure(read: Callable[[], object]) -> dict[str, str | float]:
    start = time.process_time()
    tracemalloc.start()
    try:
        read()
        error = "accepted"
    except CaffeFormatError as problem:
        error = str(problem)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"error": error[:300], "peak": peak, "seconds": time.process_time() - start}


def main(folder: pathlib.Path) -> dict[str, dict[str, str | float]]:
    """Tries every file."""
    found = {}
    for name, text in DEFINITIONS.items():
        path = folder / "net.prototxt"
        path.write_text(text)
        found[name] = {"size": len(text), **_measure(lambda path=path: plan_prototxt(path))}
    files = write_nodes(folder, [Node("relu", "ReLU", ["data"], ["relu"])])
    for name, raw in WEIGHTS.items():
        files[1].write_bytes(raw)
        found[name] = {"size": len(raw), **_measure(lambda: read_caffe(*files))}
    return found


if __name__ == "__main__":
    print(json.dumps(main(pathlib.Path(sys.argv[1]))))
