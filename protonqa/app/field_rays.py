"""A verified field ray by ray: what was measured, expected and predicted along each, for a view that shows them.

`verify_with_rays` is `verify` that also keeps the rays. They go to disk as one NPZ, which a second process reads to
answer what-if questions without the Monte Carlo (see `protonqa.app.what_if`).
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from protonqa.analyses.registry import load_analysis
from protonqa.analyses.runner import check_params
from protonqa.app.analyses import run_into_folder
from protonqa.app.progress import Cancel, Progress
from protonqa.durable import write_bytes_atomic
from protonqa.errors import InputError
from protonqa.values import AnalysisResult, Case, Timeline

if TYPE_CHECKING:
    from protonqa.analyses.range_verification.evaluate import Compared, Setting
    from protonqa.app.recording import Recorder
    from protonqa.device import Device

Floats = NDArray[np.float64]
#: What is needed to make activity anew, and nothing else; empty.
_OF_NUCLEI: dict[str, Any] = {"nuclei_per_ml": np.zeros((0, 0, 0), dtype=np.float32), "hu": np.zeros((0, 0))}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FieldRays:
    """The rays of one field; n_ray rays with n_depth bins of 1 mm, centres at 0.5, 1.5, ... mm.

    Parameters
    ----------
    beam : int
    timeline : (3,)
        Irradiation, delay, acquisition in s.
    psf_mm, pitch_mm : float
    start_mm, direction : (n_ray, 3)
        LPS position of depth 0 and unit vector along the protons.
    lateral_mm : (n_ray, 2)
        BEV position.
    lattice : (n_ray, 2) int
        Row and column of each ray on the lattice ``x_mm``, ``y_mm``.
    rsp, hu, planned_dose : (n_ray, n_depth)
    measured, expected : (n_ray, n_depth)
        Activity in Bq/ml; ``covered`` is True where the PET covers the whole cross section.
    dose : (n_ray, n_depth)
        Predicted from the measured activity, maximum 1; zero where none is predicted.
    planned_r80_mm, r80_mm, low_mm, high_mm, expected_r80_mm, a50_mm, expected_a50_mm, shift_mm : (n_ray,)
        NaN where there is none; ``r80_mm`` with its interval is of the measured activity.
    evaluable, used : (n_ray,) bool
    nuclei_per_ml : (7, n_ray, n_depth)
        Nuclei made per ml, blurred across the ray as the scanner blurs; the way along depth is left to the chain.
    washout, method : str
    model_folder : str
        Weights that judged the field; empty for the model that comes with the program.
    ct_identity : str
        Whose planning CT it is, where `model_folder` may hold a model made for one patient.
    """

    beam: int
    timeline: Floats
    psf_mm: float
    pitch_mm: float
    start_mm: Floats
    direction: Floats
    lateral_mm: Floats
    lattice: NDArray[np.int64]
    x_mm: Floats
    y_mm: Floats
    rsp: Floats
    hu: Floats
    planned_dose: Floats
    measured: Floats
    expected: Floats
    covered: NDArray[np.bool_]
    dose: Floats
    planned_r80_mm: Floats
    r80_mm: Floats
    low_mm: Floats
    high_mm: Floats
    expected_r80_mm: Floats
    a50_mm: Floats
    expected_a50_mm: Floats
    shift_mm: Floats
    evaluable: NDArray[np.bool_]
    used: NDArray[np.bool_]
    nuclei_per_ml: NDArray[np.float32]
    washout: str
    method: str
    model_folder: str = ""
    ct_identity: str = ""

    @property
    def n_ray(self) -> int:
        """Number of rays."""
        return int(self.rsp.shape[0])

    @property
    def depth_mm(self) -> Floats:
        """(n_depth,) bin centres."""
        return np.arange(self.rsp.shape[1], dtype=np.float64) + 0.5

    @property
    def times(self) -> Timeline:
        """The time line of the measurement."""
        irradiation_s, delay_s, acquisition_s = (float(one) for one in self.timeline)
        return Timeline(irradiation_s=irradiation_s, delay_s=delay_s, acquisition_s=acquisition_s)

    def to_bytes(self) -> bytes:
        """As NPZ."""
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {one.name: np.asarray(getattr(self, one.name)) for one in fields(self)}
        np.savez(buffer, **arrays)
        return buffer.getvalue()


def read_field_rays(path: Path, *, nuclei: bool = True) -> FieldRays:
    """The rays that `verify_with_rays` wrote.

    Parameters
    ----------
    nuclei : bool
        False leaves ``nuclei_per_ml`` and ``hu`` empty: who only shows the rays does not need them.

    Raises
    ------
    InputError
        Missing, damaged or of another version.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            wanted = [one.name for one in fields(FieldRays) if nuclei or one.name not in _OF_NUCLEI]
            found = {name: stored[name] for name in wanted}
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            "the rays of the field cannot be read", got=type(error).__name__, remedy="run the verification again"
        ) from error
    plain = {name: value.item() if value.ndim == 0 else value for name, value in found.items()}
    return FieldRays(**({} if nuclei else _OF_NUCLEI), **plain)


def verify_with_rays(
    values: Mapping[str, Any],
    params: Mapping[str, Any],
    *,
    out: Path,
    rays_folder: Path,
    paths: Mapping[str, Path] | None = None,
    seed: int = 0,
    device: Device,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    record: Recorder | None = None,
) -> tuple[AnalysisResult, tuple[Path, ...]]:
    """Range verification of values that are already read; the rays of each field go to ``rays_folder/rays-N.npz``.

    Parameters
    ----------
    values : mapping of input name to value
        As ``range-verification`` names them; ``case`` is needed.
    params : mapping
        Parameters that differ from their defaults.
    out : Path
        Folder of result, report and manifest.

    Returns
    -------
    (AnalysisResult, paths of the rays)

    Raises
    ------
    InputError, StoreError, Cancelled
    """
    from dataclasses import replace

    from protonqa.analyses.range_verification import RangeVerification
    from protonqa.range_model.patient_case import ct_identity

    written: list[Path] = []

    def keep(compared: Compared, setting: Setting) -> None:
        rays = _rays_of(compared, setting, checked.washout, checked.ray_width_mm, checked.ray_pitch_mm)
        if own := str((paths or {}).get("range_model", "")):
            case: Case = values["case"]
            identity = ct_identity(case.ct, case.ct_info.frame_of_reference_uid)
            rays = replace(rays, model_folder=own, ct_identity=identity)
        path = rays_folder / f"rays-{rays.beam}.npz"
        rays_folder.mkdir(parents=True, exist_ok=True)
        write_bytes_atomic(path, rays.to_bytes(), label="rays of the field")
        written.append(path)

    loaded = replace(load_analysis("range-verification"), analysis=RangeVerification(watch=keep))
    checked: Any = check_params(loaded.analysis, params)
    name, version = loaded.analysis.name, loaded.analysis.version
    findings = () if record is None else record.commissioning(name, version, device)
    result = run_into_folder(
        loaded,
        values,
        checked,
        out=out,
        seed=seed,
        device=device,
        progress=progress,
        cancel=cancel,
        findings=findings,
    )
    if record is not None:
        record.result(result, values=values, paths=dict(paths or {}), out=out)
    return result, tuple(written)


def _rays_of(c: Compared, setting: Setting, washout: str, width_mm: float, pitch_mm: float) -> FieldRays:
    from protonqa.analyses.range_verification.activity_rays import nuclides_on_rays

    field, line = c.field, setting.timeline
    judged, of_plan = c.of_measured, c.of_expected
    return FieldRays(
        beam=field.beam.number,
        timeline=np.array([line.irradiation_s, line.delay_s, line.acquisition_s]),
        psf_mm=setting.psf_mm,
        pitch_mm=pitch_mm,
        start_mm=field.rays.start_mm,
        direction=field.rays.direction,
        lateral_mm=field.rays.lateral_mm,
        lattice=field.lattice,
        x_mm=field.x_mm,
        y_mm=field.y_mm,
        rsp=np.maximum(field.rsp, 0.0),
        hu=field.hu,
        planned_dose=field.planned_dose,
        measured=c.measured.activity,
        expected=c.expected.activity,
        covered=np.asarray(c.measured.mask, dtype=bool),
        dose=judged.dose,
        planned_r80_mm=field.planned_r80_mm,
        r80_mm=judged.r80_mm,
        low_mm=judged.low_mm,
        high_mm=judged.high_mm,
        expected_r80_mm=of_plan.r80_mm,
        a50_mm=judged.a50_mm,
        expected_a50_mm=of_plan.a50_mm,
        shift_mm=c.shift_mm,
        evaluable=field.evaluable,
        used=c.used,
        nuclei_per_ml=nuclides_on_rays(field, psf_mm=setting.psf_mm, width_mm=width_mm).astype(np.float32),
        washout=washout,
        method="model" if judged.dose.any() else "a50",
    )
