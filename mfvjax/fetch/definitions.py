"""Definitions of CaffeNet and AlexNet in Caffe's text form, so that only weights are fetched."""

from __future__ import annotations

_CONVOLUTIONS = (  # features, kernel, stride, pad, groups
    (96, 11, 4, 0, 1),
    (256, 5, 1, 2, 2),
    (384, 3, 1, 1, 1),
    (384, 3, 1, 1, 2),
    (256, 3, 1, 1, 2),
)
_REDUCED = {1: True, 2: True, 5: False}  # pooled after these convolutions; whether normalized too


def write_definition(name: str) -> str:
    """The ``deploy.prototxt`` of "caffenet" or "alexnet", written from the published tables.

    CaffeNet normalizes after each pooling, AlexNet before it.

    Raises:
      ValueError: another name.

    Sources: Krizhevsky et al. 2012, section 3.5; Caffe's models ``bvlc_reference_caffenet`` and
      ``bvlc_alexnet``.
    """
    if name not in ("caffenet", "alexnet"):
        raise ValueError(f"there is no built-in definition of {name!r}, only caffenet and alexnet")
    lines = [f'name: "{name}"', 'input: "data"']
    lines += ["input_shape { dim: 1 dim: 3 dim: 227 dim: 227 }"]
    blob = "data"
    for number, (features, kernel, stride, pad, groups) in enumerate(_CONVOLUTIONS, start=1):
        options = f"num_output: {features} kernel_size: {kernel} stride: {stride} pad: {pad}"
        blob = _add(
            lines, "Convolution", f"conv{number}", blob, f"{options} group: {groups}", relu=True
        )
        for kind in _reductions(number, normalize_first=name == "alexnet"):
            blob = _REDUCE[kind](lines, number, blob)
    for number in (6, 7):
        blob = _add(lines, "InnerProduct", f"fc{number}", blob, "num_output: 4096", relu=True)
    blob = _add(lines, "InnerProduct", "fc8", blob, "num_output: 1000")
    lines.append(_layer("Softmax", "prob", blob, "prob"))
    return "\n".join(lines) + "\n"


def _reductions(number: int, *, normalize_first: bool) -> list[str]:
    if number not in _REDUCED:
        return []
    steps = ["pool", "norm"] if _REDUCED[number] else ["pool"]
    return steps[::-1] if normalize_first else steps


def _layer(kind: str, name: str, bottom: str, top: str, options: str = "") -> str:
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {options} }}'


def _add(
    lines: list[str], kind: str, name: str, bottom: str, options: str, *, relu: bool = False
) -> str:
    field = {"Convolution": "convolution_param", "InnerProduct": "inner_product_param"}[kind]
    lines.append(_layer(kind, name, bottom, name, f"{field} {{ {options} }}"))
    if relu:
        lines.append(_layer("ReLU", f"relu_{name}", name, name))
    return name


def _pool(lines: list[str], number: int, bottom: str) -> str:
    options = "pooling_param { pool: MAX kernel_size: 3 stride: 2 }"
    lines.append(_layer("Pooling", f"pool{number}", bottom, f"pool{number}", options))
    return f"pool{number}"


def _norm(lines: list[str], number: int, bottom: str) -> str:
    options = "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }"
    lines.append(_layer("LRN", f"norm{number}", bottom, f"norm{number}", options))
    return f"norm{number}"


_REDUCE = {"pool": _pool, "norm": _norm}
