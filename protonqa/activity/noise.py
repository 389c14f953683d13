"""Counting noise and the noise models of the range papers, the same on every device and in every order.

Random numbers come from a keyed hash: bin j of a row depends on the row's key and on j alone. A row can therefore be
replayed by itself, and neither batch size, number of workers nor device changes it beyond rounding. The hash is two
rounds of a 32-bit integer mixer with full avalanche; 24 bits make each uniform number: normal draws end at 5.4 sigma.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from protonqa.errors import InputError

SnrMode = Literal["multiplicative", "additive"]

# On the CPU work in pieces that stay in the cache.
_PIECE = 1 << 15
_FIRST, _SECOND = 0x7FEB352D, 0x846CA68B - (1 << 32)
_SMALL_MEAN = 4.0
_SMALL_STEPS = 16


def noise_keys(seed: ArrayLike, n_row: int) -> NDArray[np.int32]:
    """Keys of `n_row` rows; shape (n_row, 2).

    One seed for all rows gives row i the stream i of that seed; a seed for each row gives stream 0 of each, so a row
    with its own seed draws the same noise alone as in a batch.
    """
    seeds = np.atleast_1d(np.asarray(seed, dtype=np.int64)).view(np.uint64)
    if seeds.shape not in ((1,), (n_row,)):
        raise InputError("noise seeds do not match the rows", got=str(seeds.size), expected=f"1 or {n_row}")
    stream = np.arange(n_row, dtype=np.uint64) if seeds.size == 1 else np.zeros(n_row, dtype=np.uint64)
    # splitmix64 (Steele, Lea & Flood 2014): seed, then stream.
    state = _mix64(seeds + np.uint64(0x9E3779B97F4A7C15))
    state = _mix64(state + (stream + np.uint64(1)) * np.uint64(0xD1B54A32D192ED03))
    return np.ascontiguousarray(state).view(np.int32).reshape(n_row, 2)


def _mix64(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _mix32(x: Tensor, spare: Tensor) -> None:
    """One round of the mixer in place; int32 products wrap."""
    for shift, factor in ((16, _FIRST), (15, _SECOND), (16, 0)):
        torch.bitwise_right_shift(x, shift, out=spare)
        # The shift of a signed number drags the sign along; the mask makes it a plain shift.
        spare.bitwise_and_((1 << (32 - shift)) - 1)
        x.bitwise_xor_(spare)
        if factor:
            x.mul_(factor)


def keyed_uniform(keys: Tensor, start: int, n: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Uniform numbers in (0, 1) for bins ``start`` to ``start + n`` of each key; (n_row, 2) int32 -> (n_row, n)."""
    if start + n > 2**31 - 1:
        raise InputError("too many bins for one noise stream", got=str(start + n), expected="below 2^31")
    x = torch.arange(start, start + n, dtype=torch.int32, device=keys.device) + keys[:, :1]
    spare = torch.empty_like(x)
    _mix32(x, spare)
    x.add_(keys[:, 1:])
    _mix32(x, spare)
    x.bitwise_right_shift_(8).bitwise_and_((1 << 24) - 1)
    # In single precision the last of the numbers would round to 1, and a normal draw from it to infinity.
    return x.to(dtype).add_(0.5).mul_(2.0**-24).clamp_max_(1.0 - torch.finfo(dtype).eps / 2)


def _normal(uniform: Tensor) -> Tensor:
    return torch.erfinv(uniform * 2.0 - 1.0).mul_(2.0**0.5)


def poisson_quantile(mean: Tensor, uniform: Tensor) -> Tensor:
    """Poisson number at cumulative probability `uniform`, for each mean; same shapes.

    Below a mean of 4 the distribution is summed exactly; above, the Cornish-Fisher expansion to third order is used
    (Giles, ACM Trans Math Softw 42:1, 2016): the whole distribution is then off by less than 1e-3 in total probability,
    mean by less than 2e-4 and variance by less than 6e-4 of themselves.
    """
    z = _normal(uniform)
    z2 = z * z
    inverse_root = mean.clamp_min(_SMALL_MEAN).rsqrt()
    large = mean + (1.0 / 3.0) + z2 / 6.0
    large.addcdiv_(z, inverse_root)
    large.addcmul_(z * inverse_root, z2 * (-1.0 / 72.0) - 1.0 / 36.0)
    large.addcmul_(inverse_root * inverse_root, (z2 * (1.0 / 270.0) + 7.0 / 810.0) * z2 - 8.0 / 405.0)
    large.floor_().clamp_min_(0.0)
    if float(mean.amin()) >= _SMALL_MEAN:
        return large
    is_small = torch.lt(mean, _SMALL_MEAN, out=torch.empty_like(mean))
    return large.lerp_(_small_poisson(mean.clamp_max(_SMALL_MEAN), uniform), is_small)


def _small_poisson(mean: Tensor, uniform: Tensor) -> Tensor:
    """Poisson number by adding up probabilities until they pass `uniform`; means up to 4."""
    power = torch.exp(-mean)
    reached = power.clone()
    number = torch.zeros_like(mean)
    above = torch.empty_like(mean)
    for k in range(1, _SMALL_STEPS + 1):
        number += torch.gt(uniform, reached, out=above)
        power *= mean
        reached.add_(power, alpha=1.0 / math.factorial(k))
    return number


def add_counting_noise(activity: Tensor, counts: Tensor, keys: Tensor, *, background_fraction: float = 0.10) -> Tensor:
    """Poisson noise of a number of detected coincidences, in the unit of the input.

    Each row is scaled so that its sum is `counts`; a uniform background of `background_fraction` times `counts` is
    added over all its bins; each bin is drawn; the mean background is taken off again and the scale undone. The mean of
    the result is the input; values can be negative, as in a background-corrected image.

    Parameters
    ----------
    activity : (n_row, n_bin)
        After positron range and PSF: counts are detected where the blurred picture puts them. Noise of neighbouring
        bins is independent; the correlation that image reconstruction brings is not modelled.
    counts : (n_row,) or (1,)
        True coincidences in the row, background not included.
    keys : (n_row, 2) int32
        From `noise_keys`.

    Raises
    ------
    InputError
        A row without activity, negative activity, counts not positive.
    """
    total = activity.sum(dim=-1, keepdim=True)
    if not (float(total.amin()) > 0 and float(activity.amin()) >= 0):
        raise InputError(
            "no counts can be drawn from this activity",
            got=f"{int((total <= 0).sum())} rows without activity, {int((activity < 0).sum())} negative bins",
            expected="activity that is not negative and not zero everywhere",
        )
    if not bool((counts > 0).all()) or not bool(torch.isfinite(counts).all()) or not 0 <= background_fraction < np.inf:
        raise InputError("counts or background are not usable", expected="counts above 0, background 0 or more")
    n_bin = activity.shape[1]
    counts = counts.to(activity.dtype)[:, None]
    scale = counts / total
    background = (counts * (background_fraction / n_bin)).expand(total.shape)
    out = torch.empty_like(activity)
    for rows, bins in _pieces(activity):
        mean = torch.addcmul(background[rows], activity[rows, bins], scale[rows])
        drawn = poisson_quantile(mean, _uniform_piece(keys, rows, bins, activity.dtype))
        torch.div(drawn.sub_(background[rows]), scale[rows], out=out[rows, bins])
    return out


def add_snr_noise(activity: Tensor, snr: Tensor, keys: Tensor, *, mode: SnrMode = "multiplicative") -> Tensor:
    """The papers' Gaussian noise in independent 1 mm bins.

    multiplicative: ``x (1 + N(0, 1) / snr)``; additive: ``x + N(0, 1) max(x) / snr`` with the maximum of the row.

    Parameters
    ----------
    activity : (n_row, n_bin)
    snr : (n_row,) or (1,)
    keys : (n_row, 2) int32
    """
    if mode not in ("multiplicative", "additive"):
        raise InputError("unknown noise model", got=repr(mode), expected="multiplicative or additive")
    if not bool((snr > 0).all()):
        raise InputError("signal-to-noise ratio is not positive", expected="a ratio above 0")
    amount = (1.0 / snr.to(activity.dtype)[:, None]).expand(activity.shape[0], 1)
    if mode == "additive":
        amount = amount * activity.amax(dim=-1, keepdim=True)
    out = activity.clone()
    for rows, bins in _pieces(activity):
        drawn = _normal(_uniform_piece(keys, rows, bins, activity.dtype)).mul_(amount[rows])
        out[rows, bins] += drawn.mul_(activity[rows, bins]) if mode == "multiplicative" else drawn
    return out


def _uniform_piece(keys: Tensor, rows: slice, bins: slice, dtype: torch.dtype) -> Tensor:
    return keyed_uniform(keys[rows], bins.start, bins.stop - bins.start, dtype)


def _pieces(activity: Tensor) -> list[tuple[slice, slice]]:
    """Rows and bins that keep the work of one step in the cache; all at once on a GPU."""
    n_row, n_bin = activity.shape
    if activity.is_cuda:
        return [(slice(0, n_row), slice(0, n_bin))]
    step = max(1, _PIECE // n_bin)
    row_cuts = [slice(start, min(start + step, n_row)) for start in range(0, n_row, step)]
    bin_cuts = [slice(start, min(start + _PIECE, n_bin)) for start in range(0, n_bin, _PIECE)]
    return [(rows, bins) for rows in row_cuts for bins in bin_cuts]
