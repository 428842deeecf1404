"""Multifaceted feature visualization in JAX: every facet of every unit of an image network.

The public names are loaded when first used, so that importing the package costs nothing and
touches no device.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfvjax.ascent import Visualization as Visualization
    from mfvjax.ascent import visualize as visualize
    from mfvjax.atlas import build_atlas as build_atlas
    from mfvjax.atlas import merge_atlas as merge_atlas
    from mfvjax.domain import Domain as Domain
    from mfvjax.facets.discover import Facets as Facets
    from mfvjax.facets.discover import discover_facets as discover_facets
    from mfvjax.judgement import Judgement as Judgement
    from mfvjax.judging import judge_run as judge_run
    from mfvjax.judging import with_judgement as with_judgement
    from mfvjax.network import Network as Network
    from mfvjax.objective import Objective as Objective
    from mfvjax.pipeline import run_unit as run_unit  # type: ignore[no-redef]  # also a module
    from mfvjax.preprocess import Preprocessing as Preprocessing
    from mfvjax.recipe import Phase as Phase
    from mfvjax.recipe import Recipe as Recipe
    from mfvjax.recipes import RECIPES as RECIPES
    from mfvjax.recipes import find_recipe as find_recipe
    from mfvjax.report import write_page as write_page
    from mfvjax.run import Run as Run
    from mfvjax.schedule import Ramp as Ramp
    from mfvjax.store import load_run as load_run
    from mfvjax.store import save_run as save_run
    from mfvjax.types import Unit as Unit

_HOMES = {
    "Domain": "mfvjax.domain",
    "Facets": "mfvjax.facets.discover",
    "Judgement": "mfvjax.judgement",
    "Network": "mfvjax.network",
    "Objective": "mfvjax.objective",
    "Phase": "mfvjax.recipe",
    "Preprocessing": "mfvjax.preprocess",
    "Run": "mfvjax.run",
    "RECIPES": "mfvjax.recipes",
    "Ramp": "mfvjax.schedule",
    "Recipe": "mfvjax.recipe",
    "Unit": "mfvjax.types",
    "Visualization": "mfvjax.ascent",
    "build_atlas": "mfvjax.atlas",
    "discover_facets": "mfvjax.facets.discover",
    "find_recipe": "mfvjax.recipes",
    "judge_run": "mfvjax.judging",
    "load_run": "mfvjax.store",
    "merge_atlas": "mfvjax.atlas",
    "run_unit": "mfvjax.pipeline",
    "save_run": "mfvjax.store",
    "visualize": "mfvjax.ascent",
    "with_judgement": "mfvjax.judging",
    "write_page": "mfvjax.report",
}

__all__ = sorted(_HOMES)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
