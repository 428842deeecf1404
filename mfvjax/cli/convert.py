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
        typer.Option(help="Name of the network; the definition's own if not given."),
    ] = None,
    class_names: Annotated[
        Optional[pathlib.Path],  # noqa: UP045
        typer.Option("--class-names", help="Text file with one class per line."),
    ] = None,
) -> None:
    """Convert a Caffe network into a .safetensors file that `--network FILE` reads."""
    from mfvjax.class_names import read_class_names
    from weights_convert import convert

    names = None if class_names is None else read_class_names(class_names)
    convert(prototxt, caffemodel, output, name=name, class_names=names)
    typer.echo(str(output))
