"""Networks by the address of a function of the user's own: ``python:package.module:function``.

Opening one runs the user's code. What a run or an atlas has recorded is therefore never opened as
such an address: a stranger's folder must not run code here. See `mfvjax.pipeline.replay`.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
import traceback
import weakref
from collections.abc import Callable
from typing import Any

from mfvjax.network.face import Network

PREFIX = "python:"
_FORM = re.compile(r"python:(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<function>[^\W\d]\w*)")
_MADE: weakref.WeakValueDictionary[Any, Network] = weakref.WeakValueDictionary()


def is_python_address(name: object) -> bool:
    """Whether opening the network of this name runs a function of the user's."""
    return isinstance(name, str) and name.startswith(PREFIX)


def open_python_address(address: str) -> Network:
    """Imports a module, calls its function without arguments, and takes the network it returns.

    The module is found as ``python -m`` finds it: in the current directory, which is put first on
    the path for modules and stays there, or among installed packages. While a network is in use,
    its function is not called again for it.

    Args:
      address: ``"python:package.module:function"``.

    Raises:
      ValueError: the address has another form, there is no such module or function, importing or
        calling it raised, or it returned something else; the message says which.
    """
    parts = _FORM.fullmatch(address)
    if parts is None:
        raise ValueError(
            f"network {address!r} is not of the form python:package.module:function, such as "
            "python:my_networks:small_cnn"
        )
    function = _find(address, parts["module"], parts["function"])
    if function not in _MADE:
        network = _call(address, function)
        _MADE[function] = network
    return _MADE[function]


def _find(address: str, module_name: str, function_name: str) -> Callable[[], Any]:
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.insert(0, os.getcwd())
    importlib.invalidate_caches()  # the file may be new
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever the user's module raises
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{module_name}.".startswith(f"{missing}."):
            raise ValueError(
                f"network {address!r}: there is no module {missing!r}, neither in the current "
                f"directory {os.getcwd()} nor among installed packages"
            ) from error
        what = f"importing {module_name} raised {_told(error)}"
        raise ValueError(f"network {address!r}: {what}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        known = [n for n, v in vars(module).items() if inspect.isfunction(v) and n[0] != "_"]
        raise ValueError(
            f"network {address!r}: module {module_name} has no function {function_name!r}; it has: "
            f"{', '.join(known) or 'none'}"
        )
    return function


def _call(address: str, function: Callable[[], Any]) -> Network:
    try:
        network = function()
    except Exception as error:  # whatever the user's function raises
        raise ValueError(
            f"network {address!r}: calling it without arguments raised {_told(error)}"
        ) from error
    if not isinstance(network, Network):
        raise ValueError(
            f"network {address!r} returned a {type(network).__name__}, not a Network: make one "
            "with Network.from_function, from_nnx, from_linen or load, and return it"
        )
    return network


def _told(error: Exception) -> str:
    """An error with the innermost line of code that it passed."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    file = os.path.basename(frame.filename)
    return f"{type(error).__name__}: {error} (line {frame.lineno} of {file})"
