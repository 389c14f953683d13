"""Counter-based random numbers: Philox4x32-10, keyed by seed and history.

A number depends on (seed, history, draw) alone, so a result does not depend on threads, chunks or workers.
Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11 (2011).
"""

from __future__ import annotations

import math

import numpy as np
from numba.extending import overload
from numpy.typing import NDArray
from scipy.special import ndtri

from protonqa.montecarlo.compiling import law, rare

_M0 = np.uint64(0xD2511F53)
_M1 = np.uint64(0xCD9E8D57)
_W0 = np.uint64(0x9E3779B9)
_W1 = np.uint64(0xBB67AE85)
_MASK = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_TO_UNIT = 2.0**-32
#: Draws that the CPU makes at once.
BLOCK = 32
_BLOCK_MASK = np.uint64(BLOCK - 1)
#: Steps of a table of normal quantiles, and how much finer each next table looks into the tail.
N_QUANTILE = 2048
QUANTILE_LEVEL = 64.0


@law
def philox4x32(c0, c1, c2, c3, k0, k1):
    """Ten rounds on a 4x32-bit counter with a 2x32-bit key; all values are uint64 below 2^32."""
    for _ in range(10):
        p0 = _M0 * c0
        p1 = _M1 * c2
        n0 = (p1 >> _SHIFT) ^ c1 ^ k0
        n2 = (p0 >> _SHIFT) ^ c3 ^ k1
        c1 = p1 & _MASK
        c3 = p0 & _MASK
        c0 = n0
        c2 = n2
        k0 = (k0 + _W0) & _MASK
        k1 = (k1 + _W1) & _MASK
    return c0, c1, c2, c3


@law
def draw_of(history, draw, key0, key1):
    """Four uniform numbers in (0, 1) for one draw of one history (all arguments uint64)."""
    r0, r1, r2, r3 = philox4x32(draw & _MASK, history & _MASK, history >> _SHIFT, draw >> _SHIFT, key0, key1)
    return (
        (np.float64(r0) + 0.5) * _TO_UNIT,
        (np.float64(r1) + 0.5) * _TO_UNIT,
        (np.float64(r2) + 0.5) * _TO_UNIT,
        (np.float64(r3) + 0.5) * _TO_UNIT,
    )


def uniforms(history, draw, key0, key1, drawn):
    """``draw_of``, taken from `drawn` where a back end draws blocks ahead (4 * BLOCK numbers).

    Draws of a history must be asked for in order, from 0 on.
    """
    return draw_of(history, draw, key0, key1)


@overload(uniforms, target="cpu", inline="always")
def _uniforms_ahead(history, draw, key0, key1, drawn):
    def take(history, draw, key0, key1, drawn):
        place = draw & _BLOCK_MASK
        if place == 0:
            draw_block(history, draw, key0, key1, drawn)
        i = place << np.uint64(2)
        return drawn[i], drawn[i + np.uint64(1)], drawn[i + np.uint64(2)], drawn[i + np.uint64(3)]

    return take


@rare
def draw_block(history, first, key0, key1, drawn):
    """Fill `drawn` with the numbers of BLOCK draws from `first` on: independent lanes for the vector units."""
    c1, c2 = history & _MASK, history >> _SHIFT
    for j in range(BLOCK):
        draw = first + np.uint64(j)
        r0, r1, r2, r3 = philox4x32(draw & _MASK, c1, c2, draw >> _SHIFT, key0, key1)
        drawn[4 * j] = (np.float64(r0) + 0.5) * _TO_UNIT
        drawn[4 * j + 1] = (np.float64(r1) + 0.5) * _TO_UNIT
        drawn[4 * j + 2] = (np.float64(r2) + 0.5) * _TO_UNIT
        drawn[4 * j + 3] = (np.float64(r3) + 0.5) * _TO_UNIT


@law
def normal_and_rest(u, quantiles):
    """Standard normal number from a uniform one, by interpolation of ``normal_quantiles``, and another uniform number.

    A cell of the table fixes the normal number but for some 1e-3; where u lies inside it is the second number.
    """
    p = min(u, 1.0 - u)
    base = 0
    while p < 1.0 / QUANTILE_LEVEL:
        p *= QUANTILE_LEVEL
        base += N_QUANTILE + 1
    place = p * N_QUANTILE
    i = int(place)
    rest = place - i
    low = quantiles[np.uint64(base + i)]
    x = low + rest * (quantiles[np.uint64(base + i + 1)] - low)
    return x if u < 0.5 else -x, rest


@law
def normal_of(u, quantiles):
    """Standard normal number from a uniform one."""
    return normal_and_rest(u, quantiles)[0]


def normal_quantiles() -> NDArray[np.float64]:
    """Quantiles of the standard normal law at p = v, v / 64, v / 64^2, ..., for v in equal steps from 0 to 1."""
    v = np.arange(N_QUANTILE + 1) / N_QUANTILE
    levels = [ndtri(np.maximum(v, 0.25 / QUANTILE_LEVEL) / QUANTILE_LEVEL**level) for level in range(6)]
    # Above one half the first level is never asked for.
    levels[0][v > 0.75] = 0.0
    return np.concatenate(levels)


@law
def normal_pair(u, v):
    """Two independent standard normal numbers from two uniform ones (Box-Muller)."""
    radius = math.sqrt(-2.0 * math.log(u))
    angle = 2.0 * math.pi * v
    return radius * math.cos(angle), radius * math.sin(angle)
