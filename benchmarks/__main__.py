"""The benchmarks: ``python -m benchmarks [--parts steps,tv] [--network caffenet] [--quick]``.

Prints the tables, writes them to ``benchmarks/results/`` and puts them into
``benchmarks/README.md``.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pathlib
import time
from collections.abc import Sequence

PARTS = {
    "steps": "one ascent step and the whole run of ten facets, against both peers",
    "network": "forward and backward pass, against torch",
    "tv": "TV denoising, against scikit-image and torch",
    "views": "the recipe of facet statistics, against torch",
    "growth": "cost per facet-step as facets grow, and how many fit",
    "maps": "t-SNE and k-means, against scikit-learn and openTSNE",
    "codes": "codes of a folder of images",
    "start": "cold start: import, first result, compiled programs on disk",
    "memory": "peak memory",
    "conversion": "a weights file of the size of CaffeNet",
    "limit": "the floor of the device, and the whole layer of class units",
    "profile": "where the time of a step goes",
}
NETWORKS = ("caffenet", "squeezenet")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options; a wrong one ends the program with a message and code 2."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures the library beside what a user would pick instead.",
        epilog="parts: " + "; ".join(f"{name}: {what}" for name, what in PARTS.items()),
    )
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--network", choices=NETWORKS, default="caffenet")
    parser.add_argument(
        "--parts", default="", help="some of the parts, with commas; all if left out"
    )
    parser.add_argument("--quick", action="store_true", help="all parts in under five minutes")
    parser.add_argument("--full", action="store_true", help="all candidates run to the end")
    parser.add_argument("--no-write", action="store_true", help="only print")
    options = parser.parse_args(arguments)
    options.parts = [name for name in options.parts.split(",") if name] or list(PARTS)
    for name in options.parts:
        if name not in PARTS:
            parser.error(f"there is no part {name!r}; the parts are {', '.join(PARTS)}")
    if options.quick and options.full:
        parser.error("--quick and --full exclude each other")
    return options


def main(
    arguments: Sequence[str] | None = None, *, folder: pathlib.Path = pathlib.Path(__file__).parent
) -> None:
    """Runs the chosen parts; `folder` holds the page and the results."""
    options = parse(arguments)
    set_up(options.device)
    from benchmarks.context import Context
    from benchmarks.harness import header, watch_others, write
    from benchmarks.report import fill_readme, print_table, tables_as_data

    context = Context(options.network, options.device, quick=options.quick, full=options.full)
    for name in options.parts:
        started = time.perf_counter()
        with watch_others() as others:
            tables = importlib.import_module(f"benchmarks.parts.{name}").run(context)
        for table in tables:
            print_table(table)
        print(f"({name}: {time.perf_counter() - started:.0f} s)\n")
        if not options.no_write:
            write(
                f"{options.device}_{options.network}_{name}",
                {"command": _command(options, name), "tables": tables_as_data(tables)},
                head={**header(), **others},
                folder=folder / "results",
            )
    if not options.no_write:
        for name in fill_readme(folder / "README.md", folder / "results"):
            print(f"README.md has no place for {name}")


def set_up(device: str) -> None:
    """Settings that must stand before JAX and torch are imported.

    Raises:
      SystemExit: there is no such device.
    """
    if device == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    if device == "gpu" and jax.default_backend() == "cpu":
        raise SystemExit("python -m benchmarks: error: JAX finds no GPU; use --device cpu")


def _command(options: argparse.Namespace, part: str) -> str:
    flags = [f"--{name}" for name in ("quick", "full") if getattr(options, name)]
    words = ["--device", options.device, "--network", options.network, "--parts", part, *flags]
    return " ".join(["python -m benchmarks", *words])


if __name__ == "__main__":
    main()
