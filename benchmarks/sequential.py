"""The release's way: one facet after another, torch for the network, scikit-image for TV.

Written as a user of today would write the authors' scripts (Nguyen et al. 2016,
``act_max.tvd.mean.py``), with torch in Caffe's place.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.torch_network import TorchNetwork
from benchmarks.workload import StepValues, draw_offset, offset_std_of, steps_of
from mfvjax.network import Network
from mfvjax.recipe import Phase


class Sequential:
    """Ascends one canvas at a time.

    Args:
      network: whose class units are ascended.
      device: torch's name of where the network runs; TV runs on the host.
    """

    def __init__(self, network: Network, *, device: str = "cpu") -> None:
        self.read = TorchNetwork(network, device=device)
        self.layer = network.logits_layer
        self.device = device

    def run_phase(
        self, canvases: np.ndarray, units: Sequence[int], phase: Phase, seed: int
    ) -> np.ndarray:
        """All steps of a phase for each ``(h, w, 3)`` canvas in turn."""
        return np.stack(
            [
                self._one(canvas.copy(), unit, phase, np.random.default_rng((seed, row)))
                for row, (canvas, unit) in enumerate(zip(canvases, units, strict=True))
            ]
        )

    def _one(
        self, canvas: np.ndarray, unit: int, phase: Phase, rng: np.random.Generator
    ) -> np.ndarray:
        height, width = self.read.input_size
        std = offset_std_of(phase)
        for values in steps_of(phase):
            row, column = draw_offset(rng, canvas.shape[:2], self.read.input_size, std)
            window = canvas[row : row + height, column : column + width]
            window[:] = self.step(window, unit, values)
        return canvas

    def step(self, window: np.ndarray, unit: int, values: StepValues) -> np.ndarray:
        """One step on an ``(h, w, 3)`` window: mask, normalize, ascend, clip, denoise."""
        from skimage.restoration import denoise_tv_bregman

        gradient = self.gradient(window, unit)
        margin = values.margin_px
        if margin:
            masked = np.zeros_like(gradient)
            inner = (slice(margin, -margin), slice(margin, -margin))
            masked[inner] = gradient[inner]
            gradient = masked
        moved = window + values.step_size / np.abs(gradient).mean() * gradient
        moved, tv = moved.clip(0, 255), values.tv
        if tv is None:
            return moved
        # One volume: with channel_axis, version 0.26 starts each channel from the one before.
        return denoise_tv_bregman(moved, weight=tv.fidelity, max_num_iter=tv.num_sweeps, eps=1e-3)

    def gradient(self, window: np.ndarray, unit: int) -> np.ndarray:
        """Of the unit's activation with respect to the window."""
        import torch

        images = torch.from_numpy(window.astype(np.float32)).permute(2, 0, 1)[None].contiguous()
        images = images.to(self.device).requires_grad_()
        activation = self.read(images)[self.layer].flatten(1)[0, unit]
        (gradient,) = torch.autograd.grad(activation, images)
        return gradient[0].permute(1, 2, 0).cpu().numpy()
