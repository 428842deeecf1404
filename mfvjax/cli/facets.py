"""``mfvjax facets``: the first half of the main job alone."""

from __future__ import annotations

import functools
import json
import pathlib
from typing import Annotated, Any, Optional

import typer

from mfvjax.cli import _options as o


def command(
    file: Annotated[
        Optional[pathlib.Path],  # noqa: UP045  (typer reads the annotation at run time)
        typer.Argument(metavar="OUT", help="The .npz file to write; facets in it are replaced."),
    ] = None,
    out: Annotated[
        Optional[pathlib.Path],  # noqa: UP045
        typer.Option("--out", "-o", help="The same."),
    ] = None,
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
    max_unreadable: o.MaxUnreadable = o.DEFAULT_MAX_UNREADABLE,
    max_pixels: o.MaxPixels = None,
    seed: o.Seed = 0,
    device: o.Device = None,
    quiet: o.Quiet = False,
    as_json: o.AsJson = False,
) -> None:
    """Find a unit's facets among images, and save them for `mfvjax visualize`."""
    if (file is None) == (out is None):
        raise typer.BadParameter("name one file to write", param_hint="OUT")
    out = file or out
    assert out is not None
    network = o.address(network, weights)
    o.choose_device(device)
    from mfvjax.cli._output import check_facets_file
    from mfvjax.cli._progress import progress_bars
    from mfvjax.facets.discover import discover_facets
    from mfvjax.images.unreadable import record_unreadable
    from mfvjax.pipeline.checks import check_values
    from mfvjax.pipeline.sources import open_network, open_source, painted_class

    check_facets_file(out)
    number = o.num_facets(facets or "10")
    discovery = o.discovery(top, mean_images, code_layer, positions, code)
    check_values({"num_facets": number, "seed": seed, **discovery})
    opened = open_network(network, precision="float32", directions=directions)
    asked = images or painted_class(opened, unit)
    with progress_bars(quiet=quiet or as_json) as progress:
        source = open_source(asked, network=opened, max_pixels=max_pixels)
        found = discover_facets(
            opened,
            source,
            unit=unit,
            num_facets=number,
            max_unreadable=o.share(max_unreadable),
            seed=seed,
            progress=functools.partial(progress, "reading codes"),
            **discovery,
        )
    found.save(out)
    facts: dict[str, Any] = {
        "file": str(out),
        "unit": str(found.unit),
        "num_images": len(found.names),
        "sizes": found.sizes.tolist(),
        "homogeneity": found.homogeneity.tolist(),
        "unreadable": record_unreadable(found.skipped, len(source)),
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
    elif not quiet:
        typer.echo(
            f"{found.num_facets} facets of {len(found.names)} images, sizes {facts['sizes']}"
        )
        typer.echo(f"written to {out}")
