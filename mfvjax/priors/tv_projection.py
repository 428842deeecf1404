"""TV denoising as a projection: the paper's prior."""

from __future__ import annotations

from mfvjax.contracts import Levels, StepInfo
from mfvjax.parts import Number, number, part, static
from mfvjax.priors.tv import denoise_tv

TV_RULES = ("isotropic", "anisotropic", "scikit-image")
TV_ORDERS = ("red-black", "raster")


@part
class TV:
    """Split-Bregman total-variation denoising of the window; `mfvjax.priors.tv.denoise_tv`.

    Attributes:
      fidelity: weight of the data term; larger keeps more of the image.
      rule: ``"isotropic"`` (the paper's mathematics), ``"anisotropic"``, or ``"scikit-image"``
        (what the authors' scripts ran).
      order: ``"red-black"``, or ``"raster"`` for the sweep order of scikit-image.
      num_sweeps: at most so many.
      tolerance: root mean square change of a sweep, in levels, at which sweeps end; ``None`` runs
        all of them.
    """

    fidelity: Number = number(above=0)
    rule: str = static(default="isotropic", choices=TV_RULES)
    order: str = static(default="red-black", choices=TV_ORDERS)
    num_sweeps: int = static(default=100)
    tolerance: float | None = static(default=None)

    def __post_init__(self) -> None:
        if self.num_sweeps < 1:
            raise ValueError(f"TV option num_sweeps={self.num_sweeps} must be at least 1")
        if self.tolerance is not None and not self.tolerance > 0:
            raise ValueError(f"TV option tolerance={self.tolerance} must be above 0, or None")

    def __call__(self, window: Levels, step: StepInfo) -> Levels:
        """The denoised window; may leave the range by the float error of the sweeps."""
        return denoise_tv(
            window,
            fidelity=self.fidelity,
            rule=self.rule,  # type: ignore[arg-type]
            order=self.order,  # type: ignore[arg-type]
            num_sweeps=self.num_sweeps,
            tolerance=self.tolerance,
        )
