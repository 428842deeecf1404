"""Shared fixtures: strict JAX, and the folder of real data that some tests read."""

import os
import pathlib
import shutil
import sys
import tempfile
import warnings

# Before JAX is imported: tests of sharding see eight devices on any machine.
if os.environ.setdefault("JAX_PLATFORMS", "cpu") == "cpu":
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=8".strip()

# Compiled programs are shared by the test processes of one run, and by no other run.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="mfvjax-tests-")
    os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(2**30)  # with a size, files are locked
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"

import hypothesis
import jax
import pytest

from tests import small_atlas

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

# A first example compiles, which no deadline per example allows for.
hypothesis.settings.register_profile("compiling", deadline=None)
hypothesis.settings.load_profile("compiling")

DATA_DIR = pathlib.Path(
    os.environ.get("MFVJAX_TEST_DATA", pathlib.Path(__file__).parents[1] / ".." / "shared")
).resolve()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes the compiled programs once all test processes are done."""
    folder = pathlib.Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
    if not hasattr(config, "workerinput") and folder.name.startswith("mfvjax-tests-"):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def data_dir() -> pathlib.Path:
    """The real images, weights and reference traces; tests that need them skip without them."""
    if not (DATA_DIR / "models").is_dir():
        pytest.skip(f"real test data not found at {DATA_DIR}; set MFVJAX_TEST_DATA to their folder")
    return DATA_DIR


@pytest.fixture(scope="session")
def small_pool(tmp_path_factory):
    """Pictures in classes, for atlases of a tiny network."""
    return small_atlas.paint_pool(tmp_path_factory.mktemp("pool"))


@pytest.fixture(scope="session")
def whole_atlas(small_pool, tmp_path_factory):
    """An atlas made in one go on one device, what the call returned, and what it reported."""
    steps = []
    out = tmp_path_factory.mktemp("whole") / "atlas"
    devices = jax.devices("cpu")[:1]
    atlas = small_atlas.build(
        out, small_pool, devices=devices, progress=lambda *step: steps.append(step)
    )
    return out, atlas, steps


@pytest.fixture
def atlas_copy(whole_atlas, tmp_path):
    """A copy of the atlas, to be damaged."""
    shutil.copytree(whole_atlas[0], tmp_path / "atlas")
    return tmp_path / "atlas"


@pytest.fixture(scope="session")
def atlas_cache(tmp_path_factory):
    """Compiled programs of the processes that make atlases."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def process_atlas(small_pool, atlas_cache, tmp_path_factory):
    """The atlas that one process makes, on one device, without interruption."""
    out = tmp_path_factory.mktemp("process") / "atlas"
    small_atlas.finish(small_atlas.start(out, small_pool, cache=atlas_cache))
    return out


@pytest.fixture
def command_line(monkeypatch, capsys):
    """Runs the command line in this process: ``(exit code, standard output, standard error)``."""
    import mfvjax.cli

    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # put back afterwards
    monkeypatch.setenv("COLUMNS", "120")

    def with_arguments(*arguments):
        monkeypatch.setattr(sys, "argv", ["mfvjax", *map(str, arguments)])
        try:
            code = mfvjax.cli.main() or 0
        except SystemExit as stop:
            code = stop.code
        finally:
            jax.config.update("jax_default_device", None)
        return (code, *capsys.readouterr())

    return with_arguments


@pytest.fixture
def read_only_folder():
    """A folder that this process cannot write to, even where tests run as root."""
    folder = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))
    user = os.geteuid()
    folder.chmod(0o555)
    try:
        if user == 0:
            os.seteuid(65534)
        yield folder
    finally:
        os.seteuid(user)
        folder.chmod(0o755)
        shutil.rmtree(folder)
