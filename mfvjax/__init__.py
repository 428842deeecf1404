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
    from mfvjax.facets.discover import Facets as Facets
    from mfvjax.facets.discover import discover_facets as discover_facets
    from mfvjax.network import Network as Network
    from mfvjax.objective import Objective as Objective
    from mfvjax.preprocess import Preprocessing as Preprocessing
    from mfvjax.presets import PRESETS as PRESETS
    from mfvjax.presets import preset as preset
    from mfvjax.schedule import Phase as Phase
    from mfvjax.schedule import Ramp as Ramp
    from mfvjax.schedule import Schedule as Schedule
    from mfvjax.types import Unit as Unit

_HOMES = {
    "Facets": "mfvjax.facets.discover",
    "Network": "mfvjax.network",
    "Objective": "mfvjax.objective",
    "PRESETS": "mfvjax.presets",
    "Phase": "mfvjax.schedule",
    "Preprocessing": "mfvjax.preprocess",
    "Ramp": "mfvjax.schedule",
    "Schedule": "mfvjax.schedule",
    "Unit": "mfvjax.types",
    "Visualization": "mfvjax.ascent",
    "discover_facets": "mfvjax.facets.discover",
    "preset": "mfvjax.presets",
    "visualize": "mfvjax.ascent",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
