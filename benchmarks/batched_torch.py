"""The best that a skilled torch user would write: all facets in one batch, TV vectorized in torch.

The TV sweeps go through `torch.compile` (which needs a C++ compiler on a CPU); so does the network
on a GPU, while on a CPU it gains nothing there. On a CPU the sweeps take one image at a time, which
keeps their arrays in the cache and halves their time; on a GPU they take the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.torch_network import TorchNetwork
from benchmarks.torch_tv import denoise
from benchmarks.workload import StepValues, draw_offset, offset_std_of, steps_of
from mfvjax.network import Network
from mfvjax.priors.tv_projection import TV
from mfvjax.recipe import Phase

if TYPE_CHECKING:
    import torch


class BatchedTorch:
    """Ascends all canvases together.

    Args:
      network: whose class units are ascended.
      method: of `torch_tv.denoise`: "scikit-image" for the release's rule, others for the paper's.
      device: torch's name of it.
      compiled: whether `torch.compile` is used.
    """

    def __init__(
        self,
        network: Network,
        *,
        method: str = "chambolle-pock",
        device: str = "cpu",
        compiled: bool = True,
    ) -> None:
        self.read = TorchNetwork(network, device=device)
        self.layer = network.logits_layer
        self.method, self.device, self.compiled = method, device, compiled
        self._gradient = self._make_gradient()

    def _make_gradient(self) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        import torch

        def climbed(images: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
            return self.read(images)[self.layer].flatten(1).gather(1, units[:, None]).sum()

        compiled = self.compiled and self.device != "cpu"
        climb: Any = torch.compile(climbed, dynamic=False) if compiled else climbed

        def gradient(images: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
            images = images.detach().requires_grad_()
            return torch.autograd.grad(climb(images, units), images)[0]

        return gradient

    def run_phase(
        self, canvases: np.ndarray, units: Sequence[int], phase: Phase, seed: int
    ) -> np.ndarray:
        """All steps of a phase for ``(b, h, w, 3)`` canvases."""
        import torch

        rng = np.random.default_rng(seed)
        height, width = self.read.input_size
        planes = self.to_device(canvases)
        wanted = torch.tensor(units, device=self.device)
        std = offset_std_of(phase)
        for values in steps_of(phase):
            offsets = [draw_offset(rng, planes.shape[2:], self.read.input_size, std) for _ in units]
            boxes = [(slice(r, r + height), slice(c, c + width)) for r, c in offsets]
            windows = torch.stack(
                [
                    plane[:, rows, columns]
                    for plane, (rows, columns) in zip(planes, boxes, strict=True)
                ]
            )
            windows = self.step(windows, wanted, values)
            for plane, window, (rows, columns) in zip(planes, windows, boxes, strict=True):
                plane[:, rows, columns] = window
        return planes.permute(0, 2, 3, 1).cpu().numpy()

    def to_device(self, images: np.ndarray) -> torch.Tensor:
        """``(b, h, w, 3)`` images as ``(b, 3, h, w)`` on the device, a copy."""
        import torch

        planes = torch.from_numpy(np.array(images, np.float32)).permute(0, 3, 1, 2)
        return planes.contiguous().to(self.device)

    def step(self, windows: torch.Tensor, units: torch.Tensor, values: StepValues) -> torch.Tensor:
        """One step on ``(b, 3, h, w)`` windows: mask, normalize, ascend, clip, denoise."""
        gradient = self.gradient(windows, units)
        margin = values.margin_px
        if margin:
            masked = gradient.new_zeros(gradient.shape)
            inner = (..., slice(margin, -margin), slice(margin, -margin))
            masked[inner] = gradient[inner]
            gradient = masked
        gradient = gradient / gradient.abs().mean((1, 2, 3), keepdim=True)
        moved = (windows + values.step_size * gradient).clamp(0, 255)
        return self.denoise(moved, values.tv)

    def gradient(self, windows: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
        """Of each unit's activation with respect to its window."""
        return self._gradient(windows, units)

    def denoise(self, moved: torch.Tensor, tv: TV | None) -> torch.Tensor:
        """TV of the batch, by image on a CPU."""
        import torch

        if tv is None:
            return moved
        parts = moved.split(1) if self.device == "cpu" else [moved]
        with torch.no_grad():
            done = [
                denoise(
                    part,
                    fidelity=float(tv.fidelity),
                    method=self.method,
                    num_sweeps=tv.num_sweeps,
                    tolerance=tv.tolerance,
                    compiled=self.compiled,
                )
                for part in parts
            ]
        return torch.cat(done)
