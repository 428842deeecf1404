"""What imports what, and what importing costs."""

import ast
import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
LEAVES = {"preprocess", "objective", "priors", "metrics", "cache", "class_names", "device_memory"}
LAYERS = [  # each may import from the lines above it, and from its own
    {"types", "unit_names", "domain", "schedule", "judgement", "run"},
    {"parts", "contracts", "facet_objective", "nodes", "node_paths"},
    LEAVES | {"models", "images", "facets", "facetworld"},
    {"parametrizations", "views", "updates"},
    {"recipe"},
    {"recipes"},
    {"network", "ascent"},
    {"fetch", "atlas", "store", "report", "run"},  # and every room without a place of its own
    {"cli"},
    {"__main__"},
]
RANK = {room: rank for rank, layer in enumerate(LAYERS) for room in layer}
ROOMS = {path.stem for path in (ROOT / "mfvjax").iterdir()}
HEAVY = ["tensorflow", "tensorflow_datasets", "matplotlib", "sklearn", "scipy", "typer", "rich"]
HEAVY += ["jinja2", "PIL", "google.protobuf", "cv2", "skimage", "weights_convert", "array_record"]


def imports_of(file, *, top_level_only=False):
    """Dotted names that a file imports; `mfvjax.x` for ``from mfvjax import x``."""
    tree = ast.parse(file.read_text())
    inner = set()
    if top_level_only:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.Lambda) or _is_type_checking(node):
                inner |= set(ast.walk(node)) - {node}
    for node in ast.walk(tree):
        if node in inner:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_type_checking(node):
    return isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"


def rank_of(room):
    return RANK.get(room, RANK["atlas"])


def room_of(file):
    parts = file.relative_to(ROOT / "mfvjax").with_suffix("").parts
    return parts[0]


FILES = [f for f in sorted((ROOT / "mfvjax").rglob("*.py")) if room_of(f) != "__init__"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_rooms_import_only_from_those_below(file):
    for name in imports_of(file):
        top, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        if top == "mfvjax" and other in ROOMS:
            assert rank_of(other) <= rank_of(room_of(file)), f"{file} imports {name}"


def test_the_ascent_knows_no_models():
    for file in (ROOT / "mfvjax" / "ascent").rglob("*.py"):
        names = imports_of(file, top_level_only=True)
        assert not [n for n in names if n.startswith(("mfvjax.models", "mfvjax.network"))], file


def test_the_report_needs_no_jax():
    for file in (ROOT / "mfvjax" / "report").rglob("*.py"):
        assert not [n for n in imports_of(file) if n.split(".")[0] in ("jax", "flax")], file


def test_the_library_imports_the_converter_only_when_it_converts():
    for file in FILES:
        names = imports_of(file, top_level_only=True)
        assert not [n for n in names if n.startswith("weights_convert")], file


def run_python(code):
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


CHECK_IMPORTS = """
import sys, json
import jax
before = dict(jax.config.values)
import mfvjax
{more}
from jax._src import xla_bridge
print(json.dumps({{
    "heavy": [name for name in {heavy} if name in sys.modules],
    "backends": xla_bridge.backends_are_initialized(),
    "changed": [k for k, v in jax.config.values.items() if v != before[k]],
}}))
"""


@pytest.mark.parametrize("more", ["", "[getattr(mfvjax, name) for name in mfvjax.__all__]"])
def test_importing_is_light_and_touches_nothing(more):
    heavy = HEAVY if not more else sorted({*HEAVY} - {"PIL"})  # images are a public matter
    found = json.loads(run_python(CHECK_IMPORTS.format(heavy=heavy, more=more)))
    assert found["heavy"] == []
    assert found["backends"] is False
    assert found["changed"] == []


def test_importing_takes_less_than_a_second():
    code = "import time; t = time.process_time(); import mfvjax; print(time.process_time() - t)"
    assert min(float(run_python(code)) for _ in range(3)) < 1.0
