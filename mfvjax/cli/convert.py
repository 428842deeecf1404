"""``mfvjax convert``: Caffe's two files into a weights file."""

from __future__ import annotations

import pathlib
from typing import Annotated, Optional

import typer


def command(
    prototxt: Annotated[pathlib.Path, typer.Argument(help="Definition, in Caffe's text form.")],
    caffemodel: Annotated[pathlib.Path, typer.Argument(help="Weights, in Caffe's binary form.")],
    output: Annotated[
        pathlib.Path, typer.Option("-o", "--output", help="The .safetensors file to write.")
    ],
    name: Annotated[
        Optional[str],  # noqa: UP045  (typer reads the annotation at run time)
        typer.Option(help="Name of the network; if not given, the definition's own."),
    ] = None,
    class_names: Annotated[
        Optional[pathlib.Path],  # noqa: UP045
        typer.Option("--class-names", help="Text file with one class per line."),
    ] = None,
    ignore_layer: Annotated[
        list[str],
        typer.Option(help="Weights to leave out, such as 'loss1/*'; repeatable."),
    ] = [],  # noqa: B006  (never changed)
    channel_order: Annotated[str, typer.Option(help="BGR or RGB.")] = "BGR",
    mean: Annotated[
        tuple[float, float, float],
        typer.Option(help="Grey levels to subtract, in the channel order."),
    ] = (104.0, 117.0, 123.0),
    scale: Annotated[float, typer.Option(help="Factor after the subtraction.")] = 1.0,
) -> None:
    """Convert a Caffe network into a .safetensors file.

    The same as `python -m weights_convert`.
    """
    from mfvjax.class_names import read_class_names
    from mfvjax.preprocess import Preprocessing
    from weights_convert import convert
    from weights_convert.plan import plan_network
    from weights_convert.prototxt import read_prototxt

    height, width, _ = plan_network(read_prototxt(prototxt)).graph.input_shape
    convert(
        prototxt,
        caffemodel,
        output,
        name=name,
        class_names=None if class_names is None else read_class_names(class_names),
        preprocessing=Preprocessing((height, width), channel_order, mean, scale),
        ignore_layers=ignore_layer,
    )
    typer.echo(str(output))
