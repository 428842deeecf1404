"""What the tests of PyTorch networks need, which the test environment of all others lacks."""

import importlib.util

import pytest


def torch_or_skip(*also):
    """The package torch; skips the file, and says why, where it or another one is missing."""
    missing = [
        name for name in ("torch", "torchax", *also) if importlib.util.find_spec(name) is None
    ]
    if missing:
        pytest.skip(
            f"tests of PyTorch networks need {', '.join(missing)}: in an environment of its own, "
            'pip install ".[test,torch]" && python -m pytest tests/torch',
            allow_module_level=True,
        )
    return importlib.import_module("torch")
