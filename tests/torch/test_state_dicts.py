"""State dicts: what is read, what is refused, and that no code in a file is run."""

import pathlib
import pickle

import pytest

from tests.torch.needs import torch_or_skip

torch = torch_or_skip()

import safetensors.torch  # noqa: E402

from mfvjax.network.torch_weights import (  # noqa: E402
    check_hash,
    fill,
    num_classes_in,
    read_state_dict,
)
from tests.torch.small_modules import small_cnn  # noqa: E402


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(3)
    return small_cnn().state_dict()


WRITTEN = {
    "plain": lambda state: state,
    "a checkpoint": lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"lr": 0.1}},
    "a model": lambda state: {"model": state, "args": None},
    "of DataParallel": lambda state: {f"module.{name}": t for name, t in state.items()},
    "both": lambda state: {"model_state_dict": {f"module.{n}": t for n, t in state.items()}},
}


@pytest.mark.parametrize("wrap", WRITTEN.values(), ids=WRITTEN.keys())
def test_state_dicts_are_read_however_they_were_written(wrap, state, tmp_path):
    torch.save(wrap(state), tmp_path / "a.pth")
    found = read_state_dict(tmp_path / "a.pth")
    assert list(found) == list(state)
    assert all(torch.equal(found[name], state[name]) for name in state)


def test_safetensors_are_read(state, tmp_path):
    safetensors.torch.save_file(state, tmp_path / "a.safetensors")
    found = read_state_dict(tmp_path / "a.safetensors")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return pathlib.Path.touch, (self.file,)


@pytest.mark.parametrize("kind", ["torch", "legacy", "pickle"])
def test_code_in_a_file_is_not_run(kind, state, tmp_path):
    trap, file = tmp_path / "run", tmp_path / "evil.pth"
    held = {**state, "extra": Evil(trap)}
    if kind == "pickle":
        file.write_bytes(pickle.dumps(held))
    else:
        torch.save(held, file, _use_new_zipfile_serialization=kind == "torch")
    with pytest.raises(
        ValueError, match=r"holds more than tensors.*Nothing of it was run.*Write t"
    ):
        read_state_dict(file)
    assert not trap.exists()
    if kind != "pickle":
        torch.load(file, weights_only=False)  # the trap works
        assert trap.exists()


def test_a_whole_module_is_told_from_its_values(tmp_path):
    torch.save(small_cnn(), tmp_path / "whole.pth")
    with pytest.raises(
        ValueError, match=r"more than tensors \(torch.nn.modules.container.Sequenti"
    ):
        read_state_dict(tmp_path / "whole.pth")


def write_text(file):
    file.write_text("no weights")


def write_half(file):
    torch.save(small_cnn().state_dict(), file)
    file.write_bytes(file.read_bytes()[:900])


def write_script(file):
    torch.jit.save(torch.jit.script(small_cnn()), file)


@pytest.mark.parametrize("write", [write_text, write_half, write_script])
def test_other_files_are_refused(write, tmp_path):
    for file in (tmp_path / "a.pth", tmp_path / "a.safetensors"):
        write(file)
        with pytest.raises(ValueError, match=r"a\.\w+ (is damaged, or no|holds more than)"):
            read_state_dict(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no weights file .*none\.pth"):
        read_state_dict(tmp_path / "none.pth")


@pytest.mark.parametrize(
    ("held", "kind"), [([torch.ones(2)], "list"), (torch.ones(2), "Tensor"), ({"a": 3}, "dict")]
)
def test_other_contents_are_refused(held, kind, tmp_path):
    torch.save(held, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=f"holds a {kind}, not a state dict of tensors by name"):
        read_state_dict(tmp_path / "a.pth")


def test_what_does_not_fit_is_named(state):
    other = {**state, "3.weight": torch.ones(2, 2), "extra.weight": torch.ones(1)}
    del other["8.bias"]
    with pytest.raises(
        ValueError, match=r"file does not fit Sequential: missing: 8.bias"
    ) as caught:
        fill(small_cnn(), other, source="file")
    assert "unexpected: extra.weight" in str(caught.value)
    assert r"of another shape: 3.weight (2, 2) for (12, 8, 3, 3)" in str(caught.value)
    many = {f"layer{i}": torch.ones(1) for i in range(9)}
    with pytest.raises(ValueError, match="unexpected: layer0, layer1, layer2, layer3 and 5 more"):
        fill(small_cnn(), many, source="file")
    module = small_cnn()
    fill(module, state, source="file")
    assert torch.equal(module[8].bias, state["8.bias"])


def test_the_number_of_classes_is_told_by_the_last_layer(state):
    seven = small_cnn(7).state_dict()
    assert num_classes_in(seven, small_cnn(5), 5) == 7
    assert num_classes_in(state, small_cnn(5), 5) == 5
    strange = {**seven, "8.bias": torch.ones(6)}
    assert num_classes_in(strange, small_cnn(5), 5) == 5


def test_downloads_are_checked_by_the_hash_in_their_name(tmp_path):
    (tmp_path / "net-2cf24dba.pth").write_bytes(b"hello")  # sha256 2cf24dba5fb0a30e...
    check_hash(tmp_path / "net-2cf24dba.pth")
    (tmp_path / "net-2cf24dbb.pth").write_bytes(b"hello")
    with pytest.raises(ValueError, match="is damaged: its SHA-256 is 2cf24dba5fb0a30e; download"):
        check_hash(tmp_path / "net-2cf24dbb.pth")
    check_hash(tmp_path / "a_name_without_a_hash.pth")
