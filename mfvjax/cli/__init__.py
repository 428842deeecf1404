"""The command line: ``mfvjax COMMAND``.

Every module of this package is a command of its name, and its function ``command`` is what runs;
modules that start with an underscore are helpers. A module with commands of its own has them in an
``app`` instead. A command without arguments prints its help,
unless its module says ``NEEDS_ARGUMENTS = False``. Commands import what they need when they run, so
that ``mfvjax --help`` stays fast.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any

import typer

import mfvjax
from mfvjax.cache import cache_dir
from mfvjax.cli._log import log_to_stderr
from mfvjax.cli._once import OnceCommand

EXPECTED = (ValueError, OSError, RuntimeError, ImportError, MemoryError)
"""Failures told in one line; anything else is a bug and shows where it happened."""


def make_app() -> typer.Typer:
    """The application with all its commands."""
    app = typer.Typer(
        name="mfvjax",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Multifaceted feature visualization: every facet of every unit of an image network.",
    )
    app.callback()(_global_options)
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        if not module.name.startswith("_"):
            loaded = importlib.import_module(f"{__name__}.{module.name}")
            if hasattr(loaded, "app"):
                app.add_typer(loaded.app, name=module.name.replace("_", "-"))
                continue
            register = app.command(
                module.name.replace("_", "-"),
                cls=OnceCommand,
                no_args_is_help=getattr(loaded, "NEEDS_ARGUMENTS", True),
            )
            register(loaded.command)
    return app


def main() -> None:
    """Runs the command line: exit code 0, 1 for a failure, 2 for wrong usage.

    With ``MFVJAX_TRACEBACK`` set, a failure also shows where it happened.
    """
    warnings.showwarning = _warnings_once()
    log_to_stderr()
    for stream in (sys.stdout, sys.stderr):  # names of files need not be text on this terminal
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    keep_compiled_programs()
    try:
        make_app()(prog_name="mfvjax")
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except EXPECTED as error:
        if os.environ.get("MFVJAX_TRACEBACK"):
            raise
        message = " ".join(str(error).split()) or type(error).__name__
        print(f"mfvjax: error: {message}", file=sys.stderr)
        sys.exit(1)


def keep_compiled_programs() -> None:
    """Has JAX keep compiled programs in the user's cache folder, for the next command to use.

    JAX reads these variables when it is first imported; a folder that the user has set stays.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(cache_dir() / "compiled")
        if importlib.util.find_spec("filelock"):
            # With a size, entries are locked and the least recently used leave first.
            os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(2**30)
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"


def _warnings_once() -> Callable[..., None]:
    """Prints each warning in one line, and only once."""
    shown = set()

    def show(message: Warning | str, *about: Any, **more: Any) -> None:
        if str(message) not in shown:
            print(f"mfvjax: warning: {message}", file=sys.stderr)
        shown.add(str(message))

    return show


def _show_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"mfvjax {mfvjax.__version__}")
        raise typer.Exit
    return wanted


def _global_options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass
