"""``python -m weights_convert NET.prototxt WEIGHTS.caffemodel -o NET.safetensors``."""

import argparse
import sys
import warnings
from collections.abc import Sequence

from mfvjax.class_names import read_class_names
from mfvjax.preprocess import CAFFE_IMAGENET, Preprocessing
from weights_convert.convert import convert
from weights_convert.errors import CaffeWarning
from weights_convert.plan import plan_prototxt


def main(arguments: Sequence[str] | None = None) -> int:
    """Converts as the command line says; 0 for success, 1 for an error, which is printed."""
    options = _parser().parse_args(arguments)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CaffeWarning)
        try:
            _convert(options)
        except (ValueError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    for warning in caught:
        print(f"warning: {warning.message}", file=sys.stderr)
    print(options.output)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m weights_convert",
        description="Convert a Caffe network to a .safetensors file for mfvjax.",
    )
    parser.add_argument("prototxt", help="network definition, in Caffe's text form")
    parser.add_argument("caffemodel", help="weights, in Caffe's binary form")
    parser.add_argument("-o", "--output", required=True, help="the .safetensors file to write")
    parser.add_argument("--name", help="name of the network (default: the definition's)")
    parser.add_argument("--class-names", metavar="FILE", help="text file, one class per line")
    parser.add_argument(
        "--ignore-layer",
        metavar="PATTERN",
        action="append",
        default=[],
        help="leave out weights that the definition does not use, such as 'loss1/*'; repeatable",
    )
    parser.add_argument("--channel-order", choices=("BGR", "RGB"), default="BGR")
    parser.add_argument(
        "--mean",
        nargs=3,
        type=float,
        metavar="GREY",
        default=CAFFE_IMAGENET.mean,
        help="grey levels to subtract, in the channel order (default: 104 117 123)",
    )
    parser.add_argument("--scale", type=float, default=1.0, help="factor after the subtraction")
    return parser


def _convert(options: argparse.Namespace) -> None:
    height, width, _ = plan_prototxt(options.prototxt).graph.input_shape
    names = read_class_names(options.class_names) if options.class_names else None
    convert(
        options.prototxt,
        options.caffemodel,
        options.output,
        name=options.name,
        class_names=names,
        preprocessing=Preprocessing(
            (height, width), options.channel_order, tuple(options.mean), options.scale
        ),
        ignore_layers=options.ignore_layer,
    )


if __name__ == "__main__":
    sys.exit(main())
