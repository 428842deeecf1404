"""Definitions of CaffeNet and AlexNet in Caffe's text form, so that only weights are fetched."""

from __future__ import annotations

_CONVOLUTIONS = (  # features, kernel, stride, pad, groups
    (96, 11, 4, 0, 1),
    (256, 5, 1, 2, 2),
    (384, 3, 1, 1, 1),
    (384, 3, 1, 1, 2),
    (256, 3, 1, 1, 2),
)
_REDUCTIONS = {1: ("Pooling", "LRN"), 2: ("Pooling", "LRN"), 5: ("Pooling",)}  # after them
_NAMES = {"Pooling": "pool", "LRN": "norm"}
_OPTIONS = {
    "Pooling": "pooling_param { pool: MAX kernel_size: 3 stride: 2 }",
    "LRN": "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }",
}


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
        field = f"convolution_param {{ {options} group: {groups} }}"
        blob = _add(lines, "Convolution", f"conv{number}", blob, field)
        _add(lines, "ReLU", f"relu{number}", blob, top=blob)
        steps = _REDUCTIONS.get(number, ())
        for kind in steps[::-1] if name == "alexnet" else steps:
            blob = _add(lines, kind, f"{_NAMES[kind]}{number}", blob, _OPTIONS[kind])
    for number, outputs in ((6, 4096), (7, 4096), (8, 1000)):
        field = f"inner_product_param {{ num_output: {outputs} }}"
        blob = _add(lines, "InnerProduct", f"fc{number}", blob, field)
        for kind in ("ReLU", "Dropout") if number < 8 else ():
            _add(lines, kind, f"{kind.lower()}{number}", blob, top=blob)
    _add(lines, "Softmax", "prob", blob)
    return "\n".join(lines) + "\n"


def _add(
    lines: list[str], kind: str, name: str, bottom: str, options: str = "", *, top: str = ""
) -> str:
    """Adds a layer, and returns the activation it writes."""
    top = top or name
    lines.append(
        f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {options} }}'
    )
    return top
