"""What every part of the benchmarks is told, and what it can use."""

from __future__ import annotations

import dataclasses
import functools

from benchmarks.harness import missing
from benchmarks.networks import NETWORKS
from mfvjax.network import Network

RECIPE = "release-mean-image"


@dataclasses.dataclass(frozen=True)
class Context:
    """Options of a run.

    Attributes:
      network_name: a key of `NETWORKS`.
      device: "cpu" or "gpu".
      quick: fewer repeats and sizes: shows that everything runs, and figures to a digit.
      full: the whole runs of all candidates, where otherwise a part is run and the rest projected.
    """

    network_name: str = "caffenet"
    device: str = "cpu"
    quick: bool = False
    full: bool = False

    @functools.cached_property
    def network(self) -> Network:
        """The network."""
        return NETWORKS[self.network_name]()

    @property
    def repeats(self) -> int:
        """Timed calls of each candidate."""
        return 1 if self.quick else 3

    @property
    def torch_device(self) -> str:
        """Torch's name of the device."""
        return "cuda" if self.device == "gpu" else "cpu"

    @functools.cached_property
    def no_torch(self) -> str | None:
        """Why there are no figures of torch, or ``None`` if there are."""
        if (reason := missing("torch")) is not None:
            return reason
        import torch

        if self.device == "gpu" and not torch.cuda.is_available():
            return "torch has no GPU"
        return None

    @functools.cached_property
    def no_scikit_image(self) -> str | None:
        """Why there are no figures of scikit-image, or ``None`` if there are."""
        return missing("skimage")

    @property
    def no_sequential(self) -> str | None:
        """Why there are no figures of the sequential way, or ``None`` if there are."""
        return self.no_torch or self.no_scikit_image
