"""What the submodules of a PyTorch module give in one call, by their paths."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from mfvjax.network.torch_errors import TorchModuleError
from mfvjax.network.torch_layouts import layout_of
from mfvjax.types import Activations

_OUTPUT, _LOGITS = "output", "logits"


def arrays_in(value: Any) -> dict[str, Array]:
    """The arrays in what a module returned, by how they are reached in it.

    An array is ``""``; ``"[0]"`` is the first of a tuple or list, ``"[key]"`` one of a dictionary
    or a dataclass, as Hugging Face's outputs are; these may be inside each other.
    """
    import torch

    if isinstance(value, torch.Tensor):
        return {"": value.jax()}
    if dataclasses.is_dataclass(value) and not isinstance(value, Mapping):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, tuple | list):
        value = dict(enumerate(value))
    if not isinstance(value, Mapping):
        return {}
    return {
        f"[{key}]{inside}": array
        for key, part in value.items()
        for inside, array in arrays_in(part).items()
    }


class Record:
    """What the submodules gave in one call, by their paths, and which of them is at work."""

    def __init__(self, module: Any, batch: int) -> None:
        self._module, self._batch = module, batch
        self._at_work: list[str] = []
        self._calls: dict[str, int] = {}
        self._inputs: dict[str, Array | None] = {}
        self._layouts: dict[int, str] = {}  # by the identity of arrays
        self._alive: list[Array] = []  # so that no other array gets the identity of one
        self.named: dict[str, Array] = {}
        self.returned: dict[str, Array] = {}

    @property
    def where(self) -> str:
        """The submodule that is at work, in words."""
        return self.describe(self._at_work[-1] if self._at_work else "")

    def describe(self, path: str) -> str:
        """A submodule in words."""
        kind = type(self._module.get_submodule(path)).__name__
        return f"submodule {path!r} ({kind})" if path else f"module {kind}"

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Every submodule tells when it begins and what it returned."""
        handles = []
        for path, module in self._module.named_modules():
            handles.append(module.register_forward_pre_hook(self._begin(path)))
            handles.append(module.register_forward_hook(self._end(path)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _begin(self, path: str) -> Any:
        def begin(module: Any, arguments: tuple[Any, ...]) -> None:
            self._at_work.append(path)
            self._inputs[path] = next(iter(arrays_in(arguments).values()), None)

        return begin

    def _end(self, path: str) -> Any:
        def end(module: Any, arguments: Any, result: Any) -> None:
            # Arrays are taken now: what is done in place later changes the tensor around them.
            self._at_work.pop()
            number = self._calls[path] = self._calls.get(path, 0) + 1
            name = path if number == 1 else f"{path}#{number}"
            # What comes first in a tuple is what a layer is for; attention's weights follow.
            found = {key.removeprefix("[0]"): array for key, array in arrays_in(result).items()}
            self._note_layout(module, path, found.get(""))
            if path:
                self._keep({f"{name}{key}": array for key, array in found.items()})

        return end

    def _keep(self, found: dict[str, Array]) -> None:
        """What has the batch first: not the windows of a map, masks, or a table of positions."""
        self.named |= {
            name: array
            for name, array in found.items()
            if jnp.issubdtype(array.dtype, jnp.floating)
            and 2 <= array.ndim <= 4
            and len(array) == self._batch
        }

    def _note_layout(self, module: Any, path: str, array: Array | None) -> None:
        if array is None or id(array) in self._layouts:
            return
        layout = layout_of(module, array.ndim, self._layouts.get(id(self._inputs[path])))
        self._alive.append(array)
        if layout is not None:
            self._layouts[id(array)] = layout

    def layouts(self) -> dict[str, str]:
        """Known layouts, by the names of the arrays."""
        known = {name: self._layouts.get(id(array)) for name, array in self.named.items()}
        return {name: layout for name, layout in known.items() if layout is not None}

    def outcome(self, needs_classes: bool) -> tuple[Array | None, Activations]:
        """The array that tells the classes, if there is one, and all that have names.

        Raises:
          TorchModuleError: nothing was returned, or `needs_classes` and nothing tells them.
        """
        returned = self.returned
        if not returned:
            raise TorchModuleError(
                f"{self.describe('')} returns no tensor; it must return what it computes"
            )
        one = returned.get(f"[{_LOGITS}]")
        if one is None and len(returned) == 1:
            (one,) = returned.values()
        if one is None and needs_classes:
            names = ", ".join(f"{_OUTPUT}{key}" for key in returned)
            raise TorchModuleError(
                f"{self.describe('')} returns several tensors and calls none of them logits: say "
                f"which are the classes by logits_layer, one of {names} or of its submodules, or "
                '"" if there are none'
            )
        self._keep_input_of(one)
        self._keep({f"{_OUTPUT}{key}": a for key, a in returned.items() if a is not one})
        return one, self.named

    def _keep_input_of(self, returned: Array | None) -> None:
        """Also what the last layer was given, ``"fc.input"``, if no submodule made just that.

        It is what the classes are told from: features flattened, or the class token alone.
        """
        maker = next((name for name, array in self.named.items() if array is returned), None)
        given = self._inputs.get(maker) if maker else None
        if given is not None and not any(array is given for array in self.named.values()):
            self._keep({f"{maker}.input": given})
