"""The recipe of facet statistics in torch, as its user would write it: all facets, or one by one.

Fourier coefficients behind a sigmoid as in Lucid's ports, `grid_sample` for the views, torch's own
FFT and Adam. Losses of a batch are summed, so that each facet's gradient is its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.torch_network import TorchNetwork
from benchmarks.workload import part_of
from mfvjax.network import Network
from mfvjax.objective import ChannelStatistics, Objective, Reading
from mfvjax.parametrizations import Fourier
from mfvjax.recipe import Phase
from mfvjax.updates import Optax
from mfvjax.views import RandomView

if TYPE_CHECKING:
    import torch

_COLORS = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]]) / 0.46195
_LEAST_VARIANCE = 1e-12  # below it the root has no usable slope


class TorchViews:
    """Ascends Fourier coefficients of canvases.

    Args:
      network: that the objectives are of.
      device: torch's name of it.
      together: facets of a batch; ``None`` for all of them.
    """

    def __init__(
        self, network: Network, *, device: str = "cpu", together: int | None = None
    ) -> None:
        self.read = TorchNetwork(network, device=device)
        self.device, self.together, self.draw = device, together, draw_views

    def run_phase(
        self, canvases: np.ndarray, objectives: Sequence[Objective], phase: Phase, seed: int
    ) -> np.ndarray:
        """All steps of a phase for ``(b, h, w, 3)`` canvases of the phase's size."""
        count = self.together or len(canvases)
        parts = []
        for first in range(0, len(canvases), count):
            rows = slice(first, first + count)
            parts.append(self._run(canvases[rows], objectives[rows], phase, seed + first))
        return np.concatenate(parts)

    def _run(
        self, canvases: np.ndarray, objectives: Sequence[Objective], phase: Phase, seed: int
    ) -> np.ndarray:
        import torch

        picture = Picture(phase.parametrization, canvases.shape[1:3], self.device)
        numbers = picture.encode(self.to_device(canvases)).requires_grad_()
        view = part_of(phase.view, RandomView)
        loss = self.loss_of(objectives)
        rate = float(part_of(phase.update, Optax).options["learning_rate"])
        adam = torch.optim.Adam([numbers], lr=rate)
        random = torch.Generator().manual_seed(seed)
        for _ in range(phase.num_steps):
            adam.zero_grad()
            views = self.draw(random, view, numbers)
            seen = look(picture.decode(numbers), views, self.read.input_size)
            loss(seen).sum().backward()
            adam.step()
        return picture.decode(numbers.detach()).permute(0, 2, 3, 1).cpu().numpy()

    def to_device(self, images: np.ndarray) -> torch.Tensor:
        """``(b, h, w, 3)`` images as ``(b, 3, h, w)`` on the device."""
        import torch

        planes = torch.from_numpy(np.array(images, np.float32)).permute(0, 3, 1, 2)
        return planes.contiguous().to(self.device)

    def loss_of(self, objectives: Sequence[Objective]) -> Callable[[torch.Tensor], torch.Tensor]:
        """``images -> losses``, minus each facet's objective."""
        import torch

        def stacked(values: Sequence[np.ndarray | float]) -> torch.Tensor:
            return torch.from_numpy(np.stack(values).astype(np.float32)).to(self.device)

        readings = [part_of(one.terms, Reading) for one in objectives]
        layer, (unit,) = readings[0].layer, {reading.channels for reading in readings}
        weights = stacked([reading.weight for reading in readings])
        terms = [[t for t in o.terms if isinstance(t, ChannelStatistics)] for o in objectives]
        wanted = {
            row[0].layer: (stacked([t.means for t in row]), stacked([t.deviations for t in row]))
            for row in zip(*terms, strict=True)
        }

        def loss(images: torch.Tensor) -> torch.Tensor:
            found = self.read(images)
            total = -weights * found[layer].flatten(1)[:, unit]
            for name, (means, deviations) in wanted.items():
                mean, deviation = _statistics(found[name])
                total = total + _apart(mean, means) + _apart(deviation, deviations)
            return total

        return loss


def _statistics(maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of each channel; torch's own `var_mean` takes longer."""
    mean = maps.mean((2, 3), keepdim=True)
    variance = (maps - mean).square().mean((2, 3))
    return mean.flatten(1), variance.clamp(min=_LEAST_VARIANCE).sqrt()


def _apart(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    return (found - wanted).square().mean(1) / wanted.square().mean(1)


class Picture:
    """Images as Fourier coefficients ``(b, 3, rows, columns / 2 + 1, 2)``."""

    def __init__(self, rule: Fourier, size: tuple[int, int], device: str) -> None:
        import torch

        self.size, self.divisor = size, float(rule.divisor)
        rows = torch.fft.fftfreq(size[0], device=device)[:, None]
        columns = torch.fft.rfftfreq(size[1], device=device)[None, :]
        radius = (rows.square() + columns.square()).sqrt().clamp(min=1 / max(size))
        self.scale = (math.sqrt(size[0] * size[1]) / radius ** float(rule.decay))[..., None]
        self.colors = torch.tensor(_COLORS, dtype=torch.float32, device=device)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """The coefficients of ``(b, 3, h, w)`` images."""
        import torch

        values = (images / 255).clamp(0.02, 0.98).logit()
        values = torch.einsum("ct,bthw->bchw", torch.linalg.inv(self.colors), values)
        spectrum = torch.fft.rfft2(values * self.divisor)
        return torch.view_as_real(spectrum) / self.scale

    def decode(self, numbers: torch.Tensor) -> torch.Tensor:
        """The images of coefficients."""
        import torch

        spectrum = torch.view_as_complex(numbers * self.scale)
        values = torch.fft.irfft2(spectrum, s=self.size) / self.divisor
        return 255 * torch.einsum("ct,bthw->bchw", self.colors, values).sigmoid()


def look(images: torch.Tensor, views: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Bilinear samples of ``(b, 3, h, w)`` images; `views` are those of `affine_grid`."""
    from torch.nn import functional

    grid = functional.affine_grid(views, [len(images), 3, *size], align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def draw_views(random: torch.Generator, view: RandomView, like: torch.Tensor) -> torch.Tensor:
    """A view of each facet's square canvas; see `mfvjax.views.RandomView`."""
    import torch

    count = len(like)
    side = view.smallest + (view.largest - view.smallest) * torch.rand(count, generator=random)
    center = (1 - side)[:, None] * torch.rand(count, 2, generator=random) + side[:, None] / 2
    angle = math.radians(view.degrees) * (2 * torch.rand(count, generator=random) - 1)
    return views_of(side, center, angle).to(like.device)


def views_of(side: torch.Tensor, center: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """``(b, 2, 3)``, for `affine_grid`, of squares of a square canvas.

    Args:
      side: ``(b,)``, as a share of the canvas.
      center: ``(b, 2)``, row and column, likewise.
      angle: ``(b,)``, in radians.
    """
    import torch

    cos, sin = side * angle.cos(), side * angle.sin()
    across = torch.stack([cos, sin, 2 * center[:, 1] - 1], dim=1)
    down = torch.stack([-sin, cos, 2 * center[:, 0] - 1], dim=1)
    return torch.stack([across, down], dim=1)
