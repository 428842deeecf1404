"""The precision that a program asks an accelerator for: read from its text, without one."""

import re
from typing import NamedTuple

import jax

ACCELERATORS = ("cuda", "tpu")
_PRODUCT = re.compile(r'"?stablehlo\.(dot_general|dot|convolution)"?\(?[ %]')
_ASKED = re.compile(r"precision(?:_config)? = \[([^\]]*)\]")
_TYPES = re.compile(r": \(tensor<(?:\w+x)*(\w+)>, tensor<(?:\w+x)*(\w+)>\)")


class Product(NamedTuple):
    """A matrix product or a convolution: its name, types of its operands, what it asks for."""

    name: str
    types: tuple[str, ...]
    precision: tuple[str, ...]


def products(function, *args, platform: str) -> list[Product]:
    """All matrix products and convolutions of `function`, lowered for `platform`."""
    exported = jax.export.export(jax.jit(function), platforms=[platform])(*args)
    found = []
    for line in exported.mlir_module().splitlines():
        match = _PRODUCT.search(line)
        if match is None or line.lstrip().startswith("#loc"):
            continue
        asked = _ASKED.search(line)
        words = re.findall(r"DEFAULT|HIGHEST|HIGH", asked[1]) if asked else ["DEFAULT", "DEFAULT"]
        found.append(Product(match[1], _TYPES.search(line).groups(), tuple(words)))
    return found
