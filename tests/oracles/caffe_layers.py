"""Caffe's layers, slowly, in float64 NumPy and in its layout (batch, channel, row, column).

Every function takes the inputs, the blobs in Caffe's shapes and the options as a ``.prototxt``
writes them (as a dict), and returns the list of outputs. Loops over windows, no shared code.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

Arrays = Sequence[np.ndarray]


def run_network(
    layers: Sequence[tuple], net_input: np.ndarray, input_name: str = "data"
) -> dict[str, np.ndarray]:
    """Runs ``(kind, bottoms, tops, options, blobs)`` layers in order; every blob's last value."""
    blobs = {input_name: net_input.astype(np.float64)}
    for kind, bottoms, tops, options, weights in layers:
        inputs = [blobs[name] for name in bottoms]
        outputs = LAYERS[kind](inputs, [w.astype(np.float64) for w in weights], options)
        if len(outputs) == 1:
            outputs = outputs * len(tops)
        blobs.update(zip(tops, outputs, strict=True))
    del blobs[input_name]
    return blobs


def _pair(options: Mapping, name: str, stem: str, default: int) -> tuple[int, int]:
    if f"{stem}_h" in options or f"{stem}_w" in options:
        return options.get(f"{stem}_h", default), options.get(f"{stem}_w", default)
    value = options.get(name, default)
    return tuple(value) if isinstance(value, list) else (value, value)


def convolution(inputs: Arrays, blobs: Arrays, options: Mapping) -> list[np.ndarray]:
    maps, weights = inputs[0], blobs[0]
    (kh, kw), (sh, sw) = (
        _pair(options, "kernel_size", "kernel", 1),
        _pair(options, "stride", "stride", 1),
    )
    (ph, pw), groups = _pair(options, "pad", "pad", 0), options.get("group", 1)
    dh, dw = _pair(options, "dilation", "dilation", 1)
    batch, channels, height, width = maps.shape
    rows = (height + 2 * ph - (dh * (kh - 1) + 1)) // sh + 1
    columns = (width + 2 * pw - (dw * (kw - 1) + 1)) // sw + 1
    features = weights.shape[0]
    out = np.zeros((batch, features, rows, columns))
    for feature in range(features):
        group = feature // (features // groups)
        first = group * (channels // groups)
        for i, j in np.ndindex(rows, columns):
            for a, b in np.ndindex(kh, kw):
                y, x = i * sh - ph + a * dh, j * sw - pw + b * dw
                if 0 <= y < height and 0 <= x < width:
                    seen = maps[:, first : first + channels // groups, y, x]
                    out[:, feature, i, j] += seen @ weights[feature, :, a, b]
    return [out + blobs[1].reshape(1, -1, 1, 1)] if options.get("bias_term", True) else [out]


def pooling(inputs: Arrays, blobs: Arrays, options: Mapping) -> list[np.ndarray]:
    maps = inputs[0]
    batch, channels, height, width = maps.shape
    if options.get("global_pooling"):
        options = {"pool": options.get("pool", "MAX"), "kernel_h": height, "kernel_w": width}
    (kh, kw), (sh, sw) = (
        _pair(options, "kernel_size", "kernel", 1),
        _pair(options, "stride", "stride", 1),
    )
    ph, pw = _pair(options, "pad", "pad", 0)
    rounding = math.floor if options.get("round_mode") == "FLOOR" else math.ceil
    rows = rounding((height + 2 * ph - kh) / sh) + 1
    columns = rounding((width + 2 * pw - kw) / sw) + 1
    if ph or pw:
        rows -= (rows - 1) * sh >= height + ph
        columns -= (columns - 1) * sw >= width + pw
    out = np.zeros((batch, channels, rows, columns))
    for i, j in np.ndindex(rows, columns):
        top, left = i * sh - ph, j * sw - pw
        bottom, right = min(top + kh, height + ph), min(left + kw, width + pw)
        cells = (bottom - top) * (right - left)
        seen = maps[:, :, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
        is_max = options.get("pool", "MAX") == "MAX"
        out[:, :, i, j] = seen.max((2, 3)) if is_max else seen.sum((2, 3)) / cells
    return [out]


def lrn(inputs: Arrays, blobs: Arrays, options: Mapping) -> list[np.ndarray]:
    maps, size = inputs[0], options.get("local_size", 5)
    alpha, beta, half = options.get("alpha", 1.0), options.get("beta", 0.75), size // 2
    out = np.empty_like(maps)
    _, channels, height, width = maps.shape
    if options.get("norm_region") == "WITHIN_CHANNEL":
        for i, j in np.ndindex(height, width):
            seen = maps[:, :, max(i - half, 0) : i + half + 1, max(j - half, 0) : j + half + 1]
            total = (seen**2).sum((2, 3))
            out[:, :, i, j] = maps[:, :, i, j] / (1 + alpha / size**2 * total) ** beta
        return [out]
    for c in range(channels):
        total = (maps[:, max(c - half, 0) : c + half + 1] ** 2).sum(1)
        out[:, c] = maps[:, c] / (options.get("k", 1.0) + alpha / size * total) ** beta
    return [out]


def inner_product(inputs: Arrays, blobs: Arrays, options: Mapping) -> list[np.ndarray]:
    flat = inputs[0].reshape(inputs[0].shape[0], -1)
    weights = blobs[0] if options.get("transpose") else blobs[0].T
    return [flat @ weights + (blobs[1] if options.get("bias_term", True) else 0)]


def _per_channel(vector: np.ndarray, like: np.ndarray) -> np.ndarray:
    return vector.reshape((1, -1) + (1,) * (like.ndim - 2))


def batch_norm(inputs: Arrays, blobs: Arrays, options: Mapping) -> list[np.ndarray]:
    factor = 0 if blobs[2][0] == 0 else 1 / blobs[2][0]
    mean, variance = (_per_channel(blob * factor, inputs[0]) for blob in blobs[:2])
    return [(inputs[0] - mean) / np.sqrt(variance + options.get("eps", 1e-5))]


def _aligned(blob: np.ndarray, like: np.ndarray, axis: int) -> np.ndarray:
    axis %= like.ndim
    return blob.reshape((1,) * axis + blob.shape + (1,) * (like.ndim - axis - blob.ndim))


def scale(inputs: Arrays, blobs: Arrays, options: Mapping) -> list[np.ndarray]:
    axis = options.get("axis", 1)
    if len(inputs) == 2:
        return [inputs[0] * _aligned(inputs[1], inputs[0], axis)]
    out = inputs[0] * _aligned(blobs[0], inputs[0], axis)
    return [out + _aligned(blobs[1], inputs[0], axis) if options.get("bias_term") else out]


def bias(inputs: Arrays, blobs: Arrays, options: Mapping) -> list[np.ndarray]:
    other = inputs[1] if len(inputs) == 2 else blobs[0]
    return [inputs[0] + _aligned(other, inputs[0], options.get("axis", 1))]


def eltwise(inputs: Arrays, blobs: Arrays, options: Mapping) -> list[np.ndarray]:
    operation = options.get("operation", "SUM")
    if operation == "PROD":
        return [np.prod(np.stack(inputs), axis=0)]
    if operation == "MAX":
        return [np.max(np.stack(inputs), axis=0)]
    weights = options.get("coeff", [1.0] * len(inputs))
    return [sum(w * x for w, x in zip(weights, inputs, strict=True))]


def slice_(inputs: Arrays, blobs: Arrays, options: Mapping, num_tops: int = 2) -> list[np.ndarray]:
    axis = options.get("axis", options.get("slice_dim", 1))
    return np.split(inputs[0], options.get("slice_point", num_tops), axis=axis)


def flatten(inputs: Arrays, blobs: Arrays, options: Mapping) -> list[np.ndarray]:
    shape, rank = inputs[0].shape, inputs[0].ndim
    first, last = options.get("axis", 1) % rank, options.get("end_axis", -1) % rank
    return [inputs[0].reshape(*shape[:first], -1, *shape[last + 1 :])]


def reshape(inputs: Arrays, blobs: Arrays, options: Mapping) -> list[np.ndarray]:
    shape, axis, count = inputs[0].shape, options.get("axis", 0), options.get("num_axes", -1)
    first = axis if axis >= 0 else len(shape) + axis + 1
    last = len(shape) if count == -1 else first + count
    dims = [shape[first + i] if d == 0 else d for i, d in enumerate(options["shape"]["dim"])]
    return [inputs[0].reshape(*shape[:first], *dims, *shape[last:])]


def softmax(inputs: Arrays, blobs: Arrays, options: Mapping) -> list[np.ndarray]:
    axis = options.get("axis", 1)
    powers = np.exp(inputs[0] - inputs[0].max(axis, keepdims=True))
    return [powers / powers.sum(axis, keepdims=True)]


def relu(inputs: Arrays, blobs: Arrays, options: Mapping) -> list[np.ndarray]:
    slope = options.get("negative_slope", 0.0)
    return [np.maximum(inputs[0], 0) + slope * np.minimum(inputs[0], 0)]


def prelu(inputs: Arrays, blobs: Arrays, options: Mapping) -> list[np.ndarray]:
    slope = blobs[0] if blobs[0].size == 1 else _per_channel(blobs[0], inputs[0])
    return [np.maximum(inputs[0], 0) + slope * np.minimum(inputs[0], 0)]


def elu(inputs: Arrays, blobs: Arrays, options: Mapping) -> list[np.ndarray]:
    low = options.get("alpha", 1.0) * (np.exp(np.minimum(inputs[0], 0)) - 1)
    return [np.maximum(inputs[0], 0) + low]


LAYERS: dict[str, Callable[..., list[np.ndarray]]] = {
    "BatchNorm": batch_norm,
    "Bias": bias,
    "Concat": lambda x, b, o: [np.concatenate(x, axis=o.get("axis", o.get("concat_dim", 1)))],
    "Convolution": convolution,
    "Dropout": lambda x, b, o: list(x),
    "ELU": elu,
    "Eltwise": eltwise,
    "Flatten": flatten,
    "InnerProduct": inner_product,
    "LRN": lrn,
    "PReLU": prelu,
    "Pooling": pooling,
    "ReLU": relu,
    "Reshape": reshape,
    "Scale": scale,
    "Sigmoid": lambda x, b, o: [1 / (1 + np.exp(-x[0]))],
    "Slice": slice_,
    "Softmax": softmax,
    "Split": lambda x, b, o: list(x),
    "TanH": lambda x, b, o: [np.tanh(x[0])],
}
