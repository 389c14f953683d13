"""Counter-based random numbers: Philox4x32-10, keyed by seed and history.

A number depends on (seed, history, draw) alone, so a result does not depend on threads, chunks or workers.
Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11 (2011).
"""

from __future__ import annotations

import math

import numpy as np

from protonqa.montecarlo.compiling import law

_M0 = np.uint64(0xD2511F53)
_M1 = np.uint64(0xCD9E8D57)
_W0 = np.uint64(0x9E3779B9)
_W1 = np.uint64(0xBB67AE85)
_MASK = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_TO_UNIT = 2.0**-32


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
def uniforms(history, draw, key0, key1):
    """Four uniform numbers in (0, 1) for one draw of one history (all arguments uint64)."""
    r0, r1, r2, r3 = philox4x32(draw & _MASK, history & _MASK, history >> _SHIFT, draw >> _SHIFT, key0, key1)
    return (
        (np.float64(r0) + 0.5) * _TO_UNIT,
        (np.float64(r1) + 0.5) * _TO_UNIT,
        (np.float64(r2) + 0.5) * _TO_UNIT,
        (np.float64(r3) + 0.5) * _TO_UNIT,
    )


@law
def normal_pair(u, v):
    """Two independent standard normal numbers from two uniform ones (Box-Muller)."""
    radius = math.sqrt(-2.0 * math.log(u))
    angle = 2.0 * math.pi * v
    return radius * math.cos(angle), radius * math.sin(angle)
