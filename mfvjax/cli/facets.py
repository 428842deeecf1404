"""``mfvjax facets``: the first half of the main job alone."""

from __future__ import annotations

import json
import pathlib
from typing import Annotated, Any

import typer

from mfvjax.cli import _options as o


def command(
    out: Annotated[pathlib.Path, typer.Argument(help="The .npz file to write.")],
    network: o.Network = "compact",
    weights: o.Weights = None,
    images: o.Images = None,
    directions: o.Directions = None,
    unit: o.UnitOption = "fc8:0",
    facets: o.NumFacets = "10",
    top: o.Top = None,
    mean_images: o.MeanImages = o.DEFAULT_MEAN_IMAGES,
    code: o.Code = o.DEFAULT_CODE,
    code_layer: o.CodeLayer = None,
    positions: o.Positions = o.DEFAULT_POSITIONS,
    seed: o.Seed = 0,
    device: o.Device = None,
    quiet: o.Quiet = False,
    as_json: o.AsJson = False,
) -> None:
    """Find a unit's facets among images, and save them for `mfvjax visualize`."""
    network = o.address(network, weights)
    o.choose_device(device)
    from mfvjax.facets.discover import discover_facets
    from mfvjax.pipeline.sources import open_network, open_source, painted_class

    opened = open_network(network, precision="float32", directions=directions)
    source = open_source(images or painted_class(opened, unit), network=opened)
    found = discover_facets(
        opened,
        source,
        unit=unit,
        num_facets=o.num_facets(facets or "10"),
        seed=seed,
        **o.discovery(top, mean_images, code_layer, positions, code),
    )
    found.save(out)
    facts: dict[str, Any] = {
        "file": str(out),
        "unit": str(found.unit),
        "num_images": len(found.names),
        "sizes": found.sizes.tolist(),
        "homogeneity": found.homogeneity.tolist(),
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
    elif not quiet:
        typer.echo(
            f"{found.num_facets} facets of {len(found.names)} images, sizes {facts['sizes']}"
        )
        typer.echo(f"written to {out}")
