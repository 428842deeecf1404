"""The page of a run: one HTML file that needs nothing else, neither network nor folder.

Every name is escaped; besides, the page's policy forbids the browser to load anything and to run
any script but the page's own, which it knows by its hash.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import pathlib
from typing import TYPE_CHECKING

from mfvjax.report.files import write_whole
from mfvjax.report.view import page_view
from mfvjax.run import Run

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = pathlib.Path(__file__).parent / "templates"


def render_page(run: Run) -> str:
    """The page as HTML; the same run gives the same text.

    About 10 MB for ten facets with fifteen real images of 227 pixels each and 1000 images on the
    map: real images are JPEGs of quality 90, visualizations PNGs.
    """
    style, script = (_read(name) for name in ("page.css", "page.js"))
    template = environment(TEMPLATES).get_template("page.html.j2")
    return template.render(
        page_view(run), style=style, script=script, script_hash=policy_hash(script)
    )


def write_page(run: Run, path: str | os.PathLike[str]) -> pathlib.Path:
    """Writes the page whole, under a temporary name first; replaces a page that is there.

    Args:
      run: what to show.
      path: of the page, usually ``index.html`` in the run's folder.

    Returns: the path.

    Raises:
      FileNotFoundError: the folder does not exist.
      OSError: the page cannot be written; a page that was there is as it was.
    """
    # Names of files need not be text on this system.
    return write_whole(path, render_page(run).encode("utf-8", "backslashreplace"))


@functools.cache
def environment(templates: pathlib.Path) -> Environment:
    """Where templates are read from; every value in them is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _read(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def policy_hash(script: str) -> str:
    """What a page's policy calls the one script that may run."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
