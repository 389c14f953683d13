"""Rays of a made-up field: a fall-off at a known depth, no Monte Carlo."""

from __future__ import annotations

import numpy as np

from protonqa.app.field_rays import FieldRays


def made_rays(*, side: int = 6, n_depth: int = 120, range_mm: float = 80.0, shift_mm: float = 2.0) -> FieldRays:
    """side x side rays on a 4 mm lattice along +y; only 15O is made, 100 nuclei per ml up to the range."""
    n = side * side
    rows, columns = np.divmod(np.arange(n), side)
    axis = 4.0 * (np.arange(side) - 0.5 * (side - 1))
    depth = np.arange(n_depth) + 0.5
    fall = 1.0 / (1.0 + np.exp((depth - range_mm) / 1.5))
    nuclei = np.zeros((7, n, n_depth), dtype=np.float32)
    nuclei[2] = 100.0 * fall
    measured = 1.0 / (1.0 + np.exp((depth - range_mm - shift_mm) / 1.5))
    every = np.ones(n)
    return FieldRays(
        beam=1,
        timeline=np.array([0.0, 60.0, 0.0]),
        psf_mm=0.0,
        pitch_mm=4.0,
        start_mm=np.stack([axis[columns], np.full(n, -48.0), axis[rows]], axis=1),
        direction=np.tile([0.0, 1.0, 0.0], (n, 1)),
        lateral_mm=np.stack([axis[columns], axis[rows]], axis=1),
        lattice=np.stack([rows, columns], axis=1),
        x_mm=axis,
        y_mm=axis,
        rsp=np.ones((n, n_depth)),
        hu=np.zeros((n, n_depth)),
        planned_dose=np.tile(fall, (n, 1)),
        measured=np.tile(measured, (n, 1)),
        expected=np.tile(fall, (n, 1)),
        covered=np.ones((n, n_depth), dtype=bool),
        dose=np.zeros((n, n_depth)),
        planned_r80_mm=range_mm * every,
        r80_mm=(range_mm + shift_mm) * every,
        low_mm=(range_mm + shift_mm - 1) * every,
        high_mm=(range_mm + shift_mm + 1) * every,
        expected_r80_mm=range_mm * every,
        a50_mm=(range_mm + shift_mm) * every,
        expected_a50_mm=range_mm * every,
        shift_mm=shift_mm * every,
        evaluable=np.ones(n, dtype=bool),
        used=np.ones(n, dtype=bool),
        nuclei_per_ml=nuclei,
        washout="none",
        method="a50",
    )
