"""Shared fixtures: strict JAX, and the folder of real data that some tests read."""

import os
import pathlib

# Before JAX is imported: tests of sharding see eight devices on any machine.
if os.environ.setdefault("JAX_PLATFORMS", "cpu") == "cpu":
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=8".strip()

import hypothesis
import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

# A first example compiles, which no deadline per example allows for.
hypothesis.settings.register_profile("compiling", deadline=None)
hypothesis.settings.load_profile("compiling")

DATA_DIR = pathlib.Path(
    os.environ.get("MFVJAX_TEST_DATA", pathlib.Path(__file__).parents[1] / ".." / "shared")
).resolve()


@pytest.fixture(scope="session")
def data_dir() -> pathlib.Path:
    """The real images, weights and reference traces; tests that need them skip without them."""
    if not (DATA_DIR / "models").is_dir():
        pytest.skip(f"real test data not found at {DATA_DIR}; set MFVJAX_TEST_DATA to their folder")
    return DATA_DIR
