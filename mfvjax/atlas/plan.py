"""What an atlas is of and how it is made: written down once, the same for all who work on it."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
from typing import Any, Literal

from mfvjax.atlas.plan_fields import check_fields
from mfvjax.report.files import write_whole
from mfvjax.store.errors import explain
from mfvjax.types import Unit

PLAN_JSON = "atlas.json"
FORMAT = "mfvjax-atlas"
VERSION = 2


class AtlasError(ValueError):
    """A folder holds no atlas, or one that does not fit what is asked of it."""


@dataclasses.dataclass(frozen=True)
class AtlasPlan:
    """Everything that decides what comes out; two atlases of equal plans are the same.

    Attributes:
      units: as text, in the order of the atlas; each once.
      network: ``name``, ``fingerprint``, ``source``.
      images: of the pool: ``source``, ``count``, ``names_sha256``, ``class_ids_sha256``, and
        ``max_pixels`` where it was asked for.
      num_facets: of each unit, or "auto".
      recipe: its name, ``None`` where it follows from the size of what is shown, and a hash of
        what it is made of.
      step_fraction: of the recipe's steps.
      hold: see `mfvjax.pipeline.run_unit`; ``None`` for each recipe's own.
      controls: whether units have all controls, or only the one from noise.
      seed: of everything random.
      precision: of the network.
      top: ``fraction`` or ``count`` of the pool that is taken where it is not divided by class.
      discovery: further options of facet discovery; always with `positions`.
      facets_per_device: in one batch. Part of the plan, since the shape of a batch decides the last
        bits of every step.

    Raises:
      AtlasError: there are no units, or one occurs twice.
    """

    units: tuple[str, ...]
    network: dict[str, Any]
    images: dict[str, Any]
    num_facets: int | Literal["auto"]
    recipe: dict[str, Any]
    step_fraction: float
    hold: float | None
    controls: bool
    seed: int
    precision: str
    top: dict[str, Any]
    discovery: dict[str, Any]
    facets_per_device: int

    def __post_init__(self) -> None:
        if not self.units:
            raise AtlasError("an atlas needs at least one unit")
        if len(set(self.units)) < len(self.units):
            twice = next(unit for unit in self.units if self.units.count(unit) > 1)
            raise AtlasError(f"unit {twice} is asked for twice")

    def folders(self) -> dict[str, str]:
        """The name of each unit's folder: ``conv5-0007``, readable and unique."""
        names: dict[str, str] = {}
        taken = set()
        for text in self.units:
            unit = Unit.parse(text)
            name = f"{re.sub(r'[^A-Za-z0-9._]+', '-', unit.layer)}-{unit.index:04d}"
            if unit.position is not None:
                name += f"-at-{unit.position[0]}-{unit.position[1]}"
            while name.lower() in taken:  # some file systems do not tell letter cases apart
                name += "-other"
            taken.add(name.lower())
            names[text] = name
        return names

    def to_json(self) -> dict[str, Any]:
        """Only JSON types."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    def differences(self, other: AtlasPlan) -> list[str]:
        """What `other` has otherwise, in words: ``"hold: 1.0 there, 0.5 now"``."""
        before, now = _flat(self.to_json()), _flat(other.to_json())
        return [
            f"{name}: {_shown(before.get(name))} there, {_shown(now.get(name))} now"
            for name in sorted(before | now)
            if before.get(name) != now.get(name)
        ]


def read_plan(folder: pathlib.Path) -> AtlasPlan:
    """The plan of the atlas in `folder`.

    Raises:
      AtlasError: there is none, or it is damaged, or of a newer version.
    """
    path = folder / PLAN_JSON
    try:
        text = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise AtlasError(f"{folder} holds no atlas: it has no {PLAN_JSON}") from None
    except (ValueError, RecursionError) as error:
        raise AtlasError(f"{path} is damaged: it is not JSON ({error})") from error
    if not isinstance(text, dict) or (text.get("format"), text.get("version")) != (FORMAT, VERSION):
        raise AtlasError(f"{path} is not version {VERSION} of the format {FORMAT!r}")
    fields = {field.name for field in dataclasses.fields(AtlasPlan)}
    plan = text.get("plan")
    if isinstance(plan, dict):  # in atlases of version 0.1 there was no choice
        plan = {"controls": False, **plan}
    if not isinstance(plan, dict) or plan.keys() != fields:
        raise AtlasError(f"{path} is damaged: its plan does not have the fields it should")
    try:
        check_fields(plan)
    except ValueError as error:
        raise AtlasError(f"{path} is damaged: {error}") from error
    # What there was no choice about in atlases of version 0.1.
    discovery = {"positions": "all", **plan["discovery"]}
    return AtlasPlan(**{**plan, "units": tuple(plan["units"]), "discovery": discovery})


def write_plan(plan: AtlasPlan, folder: pathlib.Path) -> None:
    """Writes the plan whole; raises ``RunWriteError`` where that is not possible."""
    text = {"format": FORMAT, "version": VERSION, "plan": plan.to_json()}
    try:
        write_whole(folder / PLAN_JSON, json.dumps(text, indent=1).encode() + b"\n")
    except OSError as error:
        raise explain(error, folder) from error


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flat(item, f"{name}.{key}" if name else key)
    return flat


def _shown(value: Any) -> str:
    if isinstance(value, list) and len(value) > 3:
        return f"{len(value)} of them, {value[0]} to {value[-1]}"
    return "nothing" if value is None else str(value)[:80]
