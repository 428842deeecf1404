"""Options that several commands share, each written once."""

from __future__ import annotations

import pathlib
from typing import Annotated, Any, Literal, Optional, TypeAlias

import typer

# As in mfvjax.facets.discover.discover_facets.
DEFAULT_MEAN_IMAGES = 15
DEFAULT_MAX_UNREADABLE = "10%"
DEFAULT_POSITIONS: Literal["inside"] = "inside"
DEFAULT_CODE: Literal["activation"] = "activation"

Network: TypeAlias = Annotated[
    str,
    typer.Option(
        "--network",
        "-n",
        help="A .safetensors file, the name of a fetched network, 'compact' or 'compact-resnet', "
        "the bundled ones, torchvision:NAME or timm:NAME, with @FILE behind it for weights of your "
        "own, or python:package.module:function, which runs your own code.",
    ),
]
Weights: TypeAlias = Annotated[
    Optional[str],  # noqa: UP045  (typer reads the annotation at run time)
    typer.Option(
        "--weights",
        help="A state dict for torchvision:NAME or timm:NAME: what torch.save wrote, or "
        ".safetensors; or 'random'. The same as NAME@FILE. By default the published weights, if "
        "they have been downloaded.",
    ),
]
Images: TypeAlias = Annotated[
    Optional[str],  # noqa: UP045  (typer reads the annotation at run time)
    typer.Option(
        "--images",
        "-i",
        help="A folder of images that activate the unit (of its class, say), a .npy file of an "
        "array of them, or tfds:NAME/SPLIT, or facetworld:CLASS.",
    ),
]
Directions: TypeAlias = Annotated[
    Optional[pathlib.Path],  # noqa: UP045
    typer.Option(
        "--directions",
        help="A .safetensors file of directions in a layer (probes, components, a decoder's rows); "
        "they become units of one more layer, as probes:3.",
    ),
]
UnitOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--unit",
        "-u",
        help="LAYER:INDEX or LAYER:INDEX@ROW,COLUMN, as fc8:945, or of tokens @TOKEN or @cls; "
        "with --directions also LAYER:NAME, as probes:stripes.",
    ),
]
Units: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "--unit",
        "-u",
        help="LAYER:INDEX or LAYER:INDEX@ROW,COLUMN, as fc8:945, or of tokens @TOKEN or @cls; "
        "with --directions also LAYER:NAME, as probes:stripes. Repeatable: a run of each.",
    ),
]
NumFacets: TypeAlias = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--facets", "-k", help="How many, or 'auto' to find out."),
]
Top: TypeAlias = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--top",
        help="Take only those images that activate the unit most: a share, as 2%, or a number, or "
        "'all'. By default all for a class; for a hidden unit, whose images are a pool, 2%, but at "
        "least 50.",
    ),
]
MeanImages: TypeAlias = Annotated[
    int, typer.Option("--mean-images", help="Images nearest to a centroid that are averaged.")
]
CodeLayer: TypeAlias = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--code-layer", help="Layer whose activations are the codes; fc7 for fc8."),
]
Code: TypeAlias = Annotated[
    Literal["activation", "relevance"],
    typer.Option(
        "--code",
        help="What tells images apart: the activations of a layer, or their relevance to the unit, "
        "gradient times activation of the layer below.",
    ),
]
Positions: TypeAlias = Annotated[
    Literal["inside", "all"],
    typer.Option(
        "--positions",
        help="Where a hidden unit may be strongest: where all that it sees lies inside the image, "
        "or also at the border, and some facets are of the border.",
    ),
]
MaxUnreadable: TypeAlias = Annotated[
    str,
    typer.Option(
        "--max-unreadable",
        help="Images that cannot be read are left out and named; stop if they are a larger share.",
    ),
]
MaxPixels: TypeAlias = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(
        "--max-pixels",
        help="Larger image files are left out as unreadable, but for JPEGs, which are decoded "
        "smaller; by default 50 million.",
    ),
]
RecipeOption: TypeAlias = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--recipe",
        help="facet-statistics (the default), facet-statistics-small (inputs under 160 pixels), "
        "facet-statistics-patch (hidden units), mean-image, small-image, spectrogram, "
        "release-mean-image, release-center-biased or paper-center-biased.",
    ),
]
Steps: TypeAlias = Annotated[
    float, typer.Option("--steps", help="Fraction of the recipe's steps to take, up to 1.")
]
Hold: TypeAlias = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(
        "--hold",
        help="Weight of the term that holds a code at its facet; by default the recipe's own: 5 "
        "for mean-image, 0 for facet-statistics and the published ones.",
    ),
]
Controls: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--controls/--no-controls",
        help="Also pictures that lack the unit, the statistics, or the facet's own images.",
    ),
]
PlaceboOption: TypeAlias = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--placebo",
        help="Images of something else for one of the controls; by default the folder beside, or "
        "what is left of a pool.",
    ),
]
Seed: TypeAlias = Annotated[int, typer.Option("--seed", help="Of everything random.")]
Device: TypeAlias = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--device", help="cpu, gpu or tpu; by default the best there is."),
]
Precision: TypeAlias = Annotated[
    Literal["float32", "tensorfloat32", "bfloat16"],
    typer.Option(
        "--precision",
        help="The network computes in; tensorfloat32: float32 with faster, rounded products.",
    ),
]
Out: TypeAlias = Annotated[
    Optional[pathlib.Path],  # noqa: UP045
    typer.Option("--out", "-o", help="Run folder to write; by default below mfv_runs/."),
]
Overwrite: TypeAlias = Annotated[
    bool, typer.Option("--overwrite", help="Replace a finished run that is there.")
]
Figures: TypeAlias = Annotated[
    bool, typer.Option("--figures", help="Also figures for papers, as PNG and PDF.")
]
Judge: TypeAlias = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--judge",
        help="Another network that says what it sees in the pictures: a .safetensors file, or a "
        "name as for --network, with weights as torchvision:NAME@FILE. Of 'compact' it is "
        "'compact-resnet' if nothing else is asked for; 'none' for none.",
    ),
]
JudgeClass: TypeAlias = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--judge-class",
        help="The judge's class for the unit, where names do not tell: an index, a name, or a "
        "WordNet identifier.",
    ),
]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def address(network: str, weights: str | None) -> str:
    """The network's address, with the weights in it.

    Raises:
      typer.BadParameter: the network brings its own.
    """
    if weights is None:
        return network
    from mfvjax.network.torch_zoo import with_weights

    try:
        return with_weights(network, weights)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--weights") from None


def num_facets(text: str) -> int | Literal["auto"]:
    """A positive number, or "auto".

    Raises:
      typer.BadParameter: it is neither.
    """
    if text == "auto":
        return "auto"
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"{text!r} is neither a number from 1 nor 'auto'", param_hint="-k")
    return int(text)


def discovery(
    top: str | None,
    mean_images: int,
    code_layer: str | None,
    positions: str,
    code: str,
) -> dict[str, Any]:
    """The options of `mfvjax.facets.discover.discover_facets` that were asked for.

    Raises:
      typer.BadParameter: `top` is neither a share nor a number nor "all".
    """
    chosen: dict[str, Any] = {}
    if top is not None:
        chosen.update(_top(top))
    if mean_images != DEFAULT_MEAN_IMAGES:
        chosen["num_mean_images"] = mean_images
    if code_layer is not None:
        chosen["code_layer"] = code_layer
    if positions != DEFAULT_POSITIONS:
        chosen["positions"] = positions
    if code != DEFAULT_CODE:
        chosen["code"] = code
    return chosen


def share(text: str) -> float:
    """A share, as "10%" or "0.1".

    Raises:
      typer.BadParameter: it is neither.
    """
    try:
        value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise typer.BadParameter(
            f"{text!r} is no share, as 10% or 0.1", param_hint="--max-unreadable"
        )
    return value


def _top(text: str) -> dict[str, Any]:
    if text == "all":
        return {"top_fraction": "all"}
    try:
        if text.endswith("%"):
            return {"top_fraction": float(text[:-1]) / 100}
        return {"top_count": int(text)}
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither a share, as 2%, nor a number, as 1000, nor 'all'",
            param_hint="--top",
        ) from None


def choose_device(device: str | None) -> None:
    """Makes JAX compute on `device`; before anything is computed.

    Raises:
      typer.BadParameter: there is no such device here.
    """
    if device is None:
        return
    import jax

    try:
        jax.config.update("jax_default_device", jax.devices(device)[0])
    except RuntimeError:
        kinds = sorted({d.platform for d in jax.devices()})
        raise typer.BadParameter(
            f"no {device!r} here; there is {', '.join(kinds)}", param_hint="--device"
        ) from None
