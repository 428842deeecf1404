"""``mfvjax info``: what a network has to offer."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mfvjax.cli import _options as o
from mfvjax.domain import Domain

if TYPE_CHECKING:
    from mfvjax.network import Network

_WIDE = 200  # columns where there is no terminal to ask
_NAMES = 30  # of units, that are listed


def command(
    network: Annotated[
        str, typer.Argument(help="A .safetensors file, or a name as for run --network.")
    ],
    weights: o.Weights = None,
    directions: o.Directions = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List a network's layers: shapes, units, strides, receptive fields and code layers."""
    from mfvjax.pipeline.sources import open_network

    network = o.address(network, weights)
    facts = describe(open_network(network, precision="float32", directions=directions))
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
    else:
        _print_table(facts)


def describe(network: Network) -> dict[str, Any]:
    """Facts of a network and its layers, ready for JSON."""
    import jax

    layers = []
    for info in network.layers.values():
        field = info.receptive_field
        layers.append(
            {
                "name": info.name,
                "shape": list(info.shape),
                "units": info.num_units,
                "stride": None if field is None else list(field.stride),
                "receptive_field": None if field is None else list(field.size),
                "start": None if field is None else list(field.start),
                "code_layer": network.code_layer(info.name),
                "unit_names": None if info.unit_names is None else list(info.unit_names),
            }
        )
    return {
        "name": network.name,
        "input_size": list(network.input_size),
        "preprocessing": json.loads(network.preprocessing.to_json()),
        "logits_layer": network.logits_layer,
        "num_classes": network.num_classes,
        "class_names": None if network.class_names is None else list(network.class_names),
        "num_parameters": sum(leaf.size for leaf in jax.tree.leaves(network.params)),
        "fingerprint": network.fingerprint,
        "layers": layers,
    }


def _print_table(facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for column in ("layer", "shape", "units", "stride", "receptive field", "code layer"):
        is_name = column in ("layer", "code layer")
        table.add_column(column, justify="left" if is_name else "right", no_wrap=True)
    for layer in facts["layers"]:
        own = layer["code_layer"] == layer["name"]
        table.add_row(
            escape(layer["name"]),
            _times(layer["shape"]),
            str(layer["units"]),
            _times(layer["stride"]) if layer["stride"] else "",
            _times(layer["receptive_field"]) if layer["receptive_field"] else "whole image",
            "" if own else escape(layer["code_layer"]),
        )
    console = Console(width=None if sys.stdout.isatty() else _WIDE)
    console.print(_summary(facts), markup=False, highlight=False)
    console.print(table)
    for layer in facts["layers"]:
        if layer["unit_names"] is not None:
            console.print(_names(layer), markup=False, highlight=False, soft_wrap=True)


def _summary(facts: dict[str, Any]) -> str:
    preprocessing = facts["preprocessing"]
    domain = preprocessing.get("domain")
    images = preprocessing["channel_order"] if domain is None else str(Domain.from_json(domain))
    names = "no class names" if facts["class_names"] is None else "named"
    classes = f"{facts['num_classes']} classes ({names}) in layer {facts['logits_layer']}"
    return (
        f"{facts['name']}: {facts['num_parameters']:,} parameters, "
        f"sha256 {facts['fingerprint'][:16]}\n"
        f"input {_times(facts['input_size'])} {images}, "
        f"mean {preprocessing['mean']}, scale {preprocessing['scale']}\n"
        f"{classes if facts['logits_layer'] else 'no classes'}\n"
    )


def _names(layer: dict[str, Any]) -> str:
    """``probes: 0 stripes, 1 dots``."""
    names = layer["unit_names"]
    first = ", ".join(f"{index} {name}" for index, name in enumerate(names[:_NAMES]))
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return f"{layer['name']}: {first}{more}"


def _times(sizes: list[int]) -> str:
    return "x".join(map(str, sizes))
