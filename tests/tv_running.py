"""What the tests of TV denoising share: images, and compiled denoisers by option."""

import functools

import jax
import numpy as np
from PIL import Image

from mfvjax.priors import tv

RULES = ("isotropic", "anisotropic", "scikit-image")


def random_image(height, width, channels=3, seed=0):
    """Steps, a ramp and noise: values in [0, 255], nothing symmetric."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:height, :width]
    image = 60.0 + 3 * row + 40 * (column > width // 3) + 50 * (row + 2 * column > height)
    return np.clip(image[..., None] + rng.normal(0, 25, (height, width, channels)), 0, 255)


@functools.cache
def photographs(data_dir, size=227):
    names = ("n02106662", "n03792972", "n07873807")  # German shepherd, tent, pizza
    images = []
    for name in names:
        (path,) = (data_dir / "images" / "one_per_class").glob(f"{name}_*")
        with Image.open(path) as photo:
            pixels = np.asarray(photo.convert("RGB"), np.float32)
        top, left = (pixels.shape[0] - size) // 2, (pixels.shape[1] - size) // 2
        images.append(pixels[top : top + size, left : left + size])
    return np.stack(images)


def rms(difference):
    return float(np.sqrt(np.mean(np.square(np.asarray(difference, np.float64)))))


@functools.cache
def compiled(rule="isotropic", order="red-black", num_sweeps=100, stops=False):
    def run(images, fidelity, tolerance=None):
        return tv.denoise_tv_with_info(
            images,
            fidelity=fidelity,
            rule=rule,
            order=order,
            num_sweeps=num_sweeps,
            tolerance=tolerance,
        )

    return jax.jit(run, static_argnames="tolerance")
