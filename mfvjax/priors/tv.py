"""Total-variation denoising by split Bregman: the prior of every ascent step."""

from __future__ import annotations

import functools
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

Rule: TypeAlias = Literal["isotropic", "anisotropic", "scikit-image"]
Order: TypeAlias = Literal["red-black", "raster"]

RULES = ("isotropic", "anisotropic", "scikit-image")
ORDERS = ("red-black", "raster")


class TVInfo(NamedTuple):
    """What a denoising cost.

    Attributes:
      num_sweeps: sweeps each image took before it met the tolerance or the limit.
    """

    num_sweeps: Int[Array, "*batch"]


def denoise_tv(
    images: Float[Array, "*batch h w c"],
    *,
    fidelity: ArrayLike,
    rule: Rule = "isotropic",
    order: Order = "red-black",
    num_sweeps: int = 100,
    tolerance: float | None = None,
) -> Float[Array, "*batch h w c"]:
    """See `denoise_tv_with_info`."""
    return denoise_tv_with_info(
        images,
        fidelity=fidelity,
        rule=rule,
        order=order,
        num_sweeps=num_sweeps,
        tolerance=tolerance,
    )[0]


def denoise_tv_with_info(
    images: Float[Array, "*batch h w c"],
    *,
    fidelity: ArrayLike,
    rule: Rule = "isotropic",
    order: Order = "red-black",
    num_sweeps: int = 100,
    tolerance: float | None = None,
) -> tuple[Float[Array, "*batch h w c"], TVInfo]:
    """Denoises, and also returns how many sweeps each image took."""
    *batch, height, width, channels = images.shape
    weight = jnp.broadcast_to(jnp.asarray(fidelity, images.dtype), batch).reshape(-1)
    flat = images.reshape(-1, height, width, channels)
    planes = jnp.moveaxis(flat, -1, 1)
    result, used = _solve(planes, weight, rule, num_sweeps, tolerance)
    result = jnp.moveaxis(result, 1, -1).reshape(images.shape)
    return result, TVInfo(used.reshape(tuple(batch)))


@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def _solve(images, weight, rule, num_sweeps, tolerance):
    n, _, h, w = images.shape
    release = rule == "scikit-image"
    mu = weight.reshape(n, 1, 1, 1)
    g = 2 * mu
    row = jnp.arange(h).reshape(1, 1, h, 1)
    col = jnp.arange(w).reshape(1, 1, 1, w)
    red = (row + col) % 2 == 0
    if release:
        top, left = images[:, :, 1:2, :], images[:, :, :, 1:2]
        bottom, right = images[:, :, -1:, :], images[:, :, :, -1:]
        degree = 4.0
    else:
        degree = (
            (row > 0).astype(images.dtype)
            + (row < h - 1).astype(images.dtype)
            + (col > 0).astype(images.dtype)
            + (col < w - 1).astype(images.dtype)
        )
    zero_row = jnp.zeros_like(images[:, :, :1, :])
    zero_col = jnp.zeros_like(images[:, :, :, :1])

    def cat(parts, axis):
        return jnp.concatenate(parts, axis)

    def shrink_term(tx, ty):
        """d - b = 2 shrink(t) - t."""
        if rule == "anisotropic":
            return tuple(2 * jnp.sign(t) * jnp.maximum(jnp.abs(t) - 1 / g, 0) - t for t in (tx, ty))
        s = jnp.sqrt(tx * tx + ty * ty)
        if release:
            m = (s * g - 1) / (s * g + 1)
        else:
            m = 2 * jnp.maximum(1 - 1 / jnp.maximum(g * s, 1e-30), 0) - 1
        return tx * m, ty * m

    def half(mask, state):
        u, tx, ty = state
        qx, qy = shrink_term(tx, ty)
        bx, by = 0.5 * (tx - qx), 0.5 * (ty - qy)
        if release:
            up, down = cat([top, u[:, :, :-1]], 2), cat([u[:, :, 1:], bottom], 2)
            lf, rt = cat([left, u[..., :-1]], 3), cat([u[..., 1:], right], 3)
        else:
            up, down = cat([zero_row, u[:, :, :-1]], 2), cat([u[:, :, 1:], zero_row], 2)
            lf, rt = cat([zero_col, u[..., :-1]], 3), cat([u[..., 1:], zero_col], 3)
        div = cat([zero_col, qx[..., :-1]], 3) - qx + cat([zero_row, qy[:, :, :-1]], 2) - qy
        new = (mu * images + g * (up + down + lf + rt + div)) / (mu + g * degree)
        if release:
            tx = jnp.where(mask, rt - u + bx, tx)
            ty = jnp.where(mask, down - u + by, ty)
        return jnp.where(mask, new, u), tx, ty

    def sweep(state):
        state = half(~red, half(red, state))
        if not release:
            u, tx, ty = state
            qx, qy = shrink_term(tx, ty)
            bx, by = 0.5 * (tx - qx), 0.5 * (ty - qy)
            tx = cat([u[..., 1:] - u[..., :-1] + bx[..., :-1], zero_col], 3)
            ty = cat([u[:, :, 1:] - u[:, :, :-1] + by[:, :, :-1], zero_row], 2)
            state = u, tx, ty
        return state

    zero = jnp.zeros_like(images)
    start = (images, zero, zero)
    if tolerance is None:
        state = jax.lax.fori_loop(0, num_sweeps, lambda _, s: sweep(s), start)
        return state[0], jnp.full(n, num_sweeps, jnp.int32)

    def body(carry):
        count, active, used, state = carry
        new = sweep(state)
        rms = jnp.sqrt(jnp.mean((new[0] - state[0]) ** 2, axis=(1, 2, 3)))
        keep = active.reshape(n, 1, 1, 1)
        state = tuple(jnp.where(keep, a, b) for a, b in zip(new, state, strict=True))
        return count + 1, active & (rms > tolerance), used + active.astype(jnp.int32), state

    carry = (jnp.int32(0), jnp.ones(n, bool), jnp.zeros(n, jnp.int32), start)
    carry = jax.lax.while_loop(lambda c: (c[0] < num_sweeps) & c[1].any(), body, carry)
    return carry[3][0], carry[2]
