"""Networks from a user's PyTorch module."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from mfvjax.network.face import Network
from mfvjax.network.flax_modules import preprocessing_of
from mfvjax.network.function import from_function
from mfvjax.network.torch_errors import checked_module, require_torch
from mfvjax.network.torch_run import TorchRun, skeleton_and_params
from mfvjax.preprocess import Preprocessing

_TRIAL_BATCH = 5


def from_torch(
    module: Any,
    *,
    preprocessing: Preprocessing | None = None,
    input_size: tuple[int, int] | None = None,
    name: str | None = None,
    layers: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    logits_layer: str | None = None,
    code_layer: str | None = None,
    architecture: str | None = None,
) -> Network:
    """Makes a network of a PyTorch module, which JAX runs through torchax.

    The module is neither changed nor kept: its values are copied, and what runs is a copy of its
    structure in inference mode (dropout off, batch normalization by its running statistics). A
    module in training mode, which every new module is in, is read in inference mode, too, with a
    warning, since only its author knows whether its statistics are ready for that.

    Layers are the submodules by their paths, ``"layer3.1.conv2"``, in the order of execution, that
    of a second call ``"relu#2"``. A module that returns a tuple gives its first tensor its own name
    and the others ``"attn[1]"``; of a dictionary or dataclass they are ``"encoder[hidden]"``. What
    the last layer was given is a layer, too, ``"fc.input"``, where no submodule has made just that:
    features flattened, or a transformer's class token. Left out is what has no batch axis first.
    Values are taken before anything is done to them in place. Maps become channels last and tokens
    positions, whatever their layout (see `mfvjax.network.function.from_function`): in a layer of
    tokens ``"encoder.ln:12@17"`` is unit 12 at token 17, and ``@cls`` token 0.

    The module takes one tensor ``(batch, channels, height, width)``, and returns the classes before
    the softmax: a tensor, alone in what it returns, or called ``logits`` in it as in Hugging Face's
    outputs. It is compiled for all images alike, so it must not branch by the values of
    activations. Everything is computed in float32, whatever type its parameters have.

    Args:
      module: a ``torch.nn.Module`` on any device; of ``torch.compile`` or ``DataParallel`` the one
        inside is taken.
      preprocessing: from images in [0, 255] to what the module takes; torchvision's ``mean`` and
        ``std`` of images in [0, 1] become ``mean=255 * mean, scale=1 / (255 * std)``.
      input_size: ``(height, width)``; instead of `preprocessing`, for plain RGB in [0, 255].
      name: for people; the class's name if ``None``.
      layers: activations to keep; all if ``None``.
      class_names: one per unit of the logits layer.
      logits_layer: the classes; if ``None`` what the module returns; ``""`` if there are none.
      code_layer: describes images of a class; if ``None`` the last layer before the classes.
      architecture: see `from_function`.

    Raises:
      ImportError: torch or torchax is missing, or torch has a version that torchax does not know.
      TypeError: `module` is no module.
      ValueError: no size is given or two that differ, the module does not take such images, cannot
        be traced (the message names the submodule and what would help), normalizes by the batch,
        draws random numbers, has no values or is TorchScript; it returns several tensors, none of
        them ``logits``, and `logits_layer` does not say which; or as `from_function`.
    """
    require_torch()
    module = checked_module(module)
    kind = type(module)
    if module.training:
        warnings.warn(
            f"{kind.__name__} is in training mode; it is read in inference mode, as after "
            "module.eval(): dropout off, batch normalization by its running statistics. Your "
            "module itself stays as it is",
            stacklevel=3,
        )
    skeleton, params = skeleton_and_params(module)
    run = TorchRun(skeleton, needs_classes=logits_layer is None)
    preprocessing = preprocessing_of(preprocessing, input_size)
    shape = (_TRIAL_BATCH, preprocessing.domain.channels, *preprocessing.input_size)
    known = run.layouts(params, shape)
    return from_function(
        run,
        params,
        preprocessing=preprocessing,
        input_format="NCHW",
        name=name or kind.__name__,
        layers=layers,
        class_names=class_names,
        logits_layer=logits_layer,
        code_layer=code_layer,
        data_formats={n: known[n] for n in known if layers is None or n in layers},
        architecture=architecture,
    )
