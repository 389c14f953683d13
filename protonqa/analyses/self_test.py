"""Does the device compute correctly? Matrix products on it against NumPy in double precision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protonqa.device import Device

#: Relative error of a float32 product of this size; fast-math or a broken unit gives far more.
LIMIT = 5e-6
_SIZE = 192


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """Outcome on one device: relative error against NumPy, or why there is none."""

    passed: bool
    relative_error: float | None
    detail: str


def compute_self_test(device: Device) -> SelfTest:
    """Multiply two fixed matrices on `device` with torch and compare with NumPy.

    A library that cannot be loaded or a device that fails gives a failed test, never an exception.
    """
    generator = np.random.default_rng(20260101)
    left = generator.standard_normal((_SIZE, _SIZE))
    right = generator.standard_normal((_SIZE, _SIZE))
    expected = left @ right
    try:
        import torch

        tensors = [torch.from_numpy(one.astype(np.float32)).to(device.kind) for one in (left, right)]
        got = (tensors[0] @ tensors[1]).cpu().numpy().astype(np.float64)
    except Exception as error:
        return SelfTest(
            passed=False, relative_error=None, detail=f"torch fails on {device.kind}: {type(error).__name__}"
        )
    if not np.isfinite(got).all():
        return SelfTest(passed=False, relative_error=None, detail="the product is not finite")
    error_size = float(np.abs(got - expected).max() / np.abs(expected).max())
    return SelfTest(
        passed=error_size <= LIMIT,
        relative_error=error_size,
        detail=f"relative error {error_size:.1e}, limit {LIMIT:.0e}",
    )
