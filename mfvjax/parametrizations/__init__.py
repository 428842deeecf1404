"""What moves in the ascent, and the image that it stands for; see `mfvjax.contracts`."""

from mfvjax.parametrizations.fourier import Fourier as Fourier
from mfvjax.parametrizations.fourier_phase import FourierPhase as FourierPhase
from mfvjax.parametrizations.fourier_phase import mean_magnitude as mean_magnitude
from mfvjax.parametrizations.pixels import Pixels as Pixels
