"""What the speed of the window is measured on: a CT of full size, and the rays of a large field."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from protonqa.app.field_rays import FieldRays
from protonqa.values import Grid, PatientIdentity, Volume

#: Slices, rows, columns.
CT_SHAPE = (150, 512, 512)
_RANGE_MM = 150.0
_N_DEPTH = 320


def write_large_ct(folder: Path, *, shape: tuple[int, int, int] = CT_SHAPE) -> None:
    """Write a round body with bones as a CT series into ``folder/ct``.

    Raises
    ------
    StoreError
        The disk is full, or the folder is not empty.
    """
    from protonqa.dicom.write_ct import write_ct
    from protonqa.dicom.write_identity import DicomIdentity

    nz, ny, nx = shape
    y, x = np.meshgrid(np.linspace(-1, 1, ny), np.linspace(-1, 1, nx), indexing="ij")
    plane = np.full((ny, nx), -1000, dtype=np.float32)
    plane[(x / 0.8) ** 2 + (y / 0.6) ** 2 < 1] = 20
    plane[((x - 0.3) / 0.2) ** 2 + (y / 0.3) ** 2 < 1] = -700
    plane[(x**2 + (y - 0.4) ** 2) < 0.01] = 700
    texture = np.random.default_rng(5).integers(-12, 13, size=(ny, nx))
    array = np.stack([plane + np.roll(texture, 7 * index, axis=1) for index in range(nz)])
    grid = Grid(shape=shape, spacing_mm=(0.97, 0.97, 2.0), origin_mm=(-248.0, -248.0, -150.0))
    identity = DicomIdentity.new(seed="speed", patient=PatientIdentity(patient_id="SPEED", name="Speed^Ct"))
    write_ct(Volume(grid=grid, array=array, unit="HU"), folder / "ct", identity=identity, overwrite=True)


def rays_for_timing(n: int, *, method: str = "model") -> FieldRays:
    """A field of `n` rays in water: 15O up to the range, which differs from ray to ray by up to 2 cm."""
    side = int(np.ceil(np.sqrt(n)))
    rows, columns = np.divmod(np.arange(n), side)
    axis = np.asarray(2.0 * (np.arange(side) - 0.5 * (side - 1)), dtype=np.float64)
    depth_mm = np.arange(_N_DEPTH, dtype=np.float64) + 0.5
    ends_mm = np.asarray(_RANGE_MM + 10.0 * np.sin(np.arange(n) / 7.0), dtype=np.float64)
    fall = _fall_off(depth_mm, ends_mm)
    nuclei = np.zeros((7, n, _N_DEPTH), dtype=np.float32)
    nuclei[2] = 1e4 * fall
    none = np.full(n, np.nan)
    return FieldRays(
        beam=1,
        timeline=np.array([90.0, 150.0, 1200.0]),
        psf_mm=5.0,
        pitch_mm=2.0,
        start_mm=np.stack([axis[columns], np.full(n, -80.0), axis[rows]], axis=1),
        direction=np.tile([0.0, 1.0, 0.0], (n, 1)),
        lateral_mm=np.stack([axis[columns], axis[rows]], axis=1),
        lattice=np.stack([rows, columns], axis=1),
        x_mm=axis,
        y_mm=axis,
        rsp=np.ones((n, _N_DEPTH)),
        hu=np.zeros((n, _N_DEPTH)),
        planned_dose=fall,
        measured=30.0 * _fall_off(depth_mm, ends_mm + 2.0),
        expected=30.0 * fall,
        covered=np.ones((n, _N_DEPTH), dtype=bool),
        dose=np.zeros((n, _N_DEPTH)),
        planned_r80_mm=ends_mm,
        r80_mm=none,
        low_mm=none,
        high_mm=none,
        expected_r80_mm=none,
        a50_mm=ends_mm + 2.0,
        expected_a50_mm=ends_mm,
        shift_mm=none,
        evaluable=np.ones(n, dtype=bool),
        used=np.ones(n, dtype=bool),
        nuclei_per_ml=nuclei,
        washout="parodi-hu",
        method=method,
    )


def _fall_off(depth_mm: NDArray[np.float64], ends_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1.0 / (1.0 + np.exp((depth_mm - ends_mm[:, None]) / 3.0)))
