"""protonqa from Python: read a case, simulate, verify. Nothing heavy loads before a function is called."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protonqa.errors import InputError

if TYPE_CHECKING:
    from protonqa.app.simulated import Simulation
    from protonqa.device import Device
    from protonqa.values import AnalysisResult, BeamModel, Case, Hlut, PetImage

    PathLike = str | os.PathLike[str]

__all__ = ["read_case", "simulate", "verify"]


def read_case(
    ct: PathLike,
    pet: PathLike | None = None,
    plan: PathLike | None = None,
    dose: PathLike | None = None,
    *,
    assume_registered: bool = False,
    patient_position: str | None = None,
    clock_offset_s: float = 0.0,
    structures: PathLike | None = None,
) -> Case:
    """Read what one verification needs and check that it belongs together.

    Parameters
    ----------
    ct, pet, plan, dose : path
        DICOM folder, zip archive or file of each.
    assume_registered, patient_position, clock_offset_s
        What the files do not say; see ``protonqa.dicom.read_case``.
    structures : path, optional
        RT Structure Set; it is read and looked at, no analysis uses it.

    Raises
    ------
    DicomError, GeometryError, UnitsError, InputError
        Damaged, ambiguous or of different patients.
    """
    from protonqa.dicom import read_case as read

    pet_path, plan_path, dose_path = (None if path is None else Path(path) for path in (pet, plan, dose))
    return read(
        Path(ct),
        pet_path,
        plan_path,
        dose_path,
        assume_registered=assume_registered,
        patient_position=patient_position,
        clock_offset_s=clock_offset_s,
        structures=None if structures is None else Path(structures),
    )


def simulate(
    phantom: str | None = None,
    *,
    protons: int = 100_000,
    energy_mev: float | None = None,
    ct: PathLike | None = None,
    plan: PathLike | None = None,
    out: PathLike | None = None,
    seed: int = 0,
    device: str = "auto",
    **options: Any,
) -> Simulation:
    """Monte Carlo of a pencil beam or of a plan.

    Parameters
    ----------
    phantom : str
        Phantom name, ``twin:SEED``, phantom YAML, ``.mha`` volume or CT folder; with `energy_mev`.
    protons : int
    energy_mev : float
    ct, plan : path
        A plan on its CT instead of a phantom.
    out : path, optional
        Folder to write profile, volumes and result into.
    seed : int
        Same seed, same numbers, whatever the number of threads.
    device : str
        ``cpu``, ``cuda`` or ``auto``.
    options
        The other fields of ``protonqa.app.simulate.SimulateParams``, such as ``spot_sigma_mm`` or ``gantry_deg``.

    Returns
    -------
    Simulation
        ``r80_mm``, ``r90_mm``, ``profile``, ``dose``, ``nuclide("c11")``, ``energy_balance``, ``findings``.

    Raises
    ------
    InputError
        An unknown option or a value out of bounds, and as ``protonqa.app.simulate.simulate``.
    """
    from pydantic import ValidationError

    from protonqa.app.simulate import SimulateParams
    from protonqa.app.simulate import simulate as run
    from protonqa.device import resolve_device

    named = {"source": phantom, "energy_mev": energy_mev, "ct": ct, "plan": plan}
    given = {name: value for name, value in named.items() if value is not None}
    try:
        params = SimulateParams.model_validate({**given, "protons": protons, **options})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "options"
        raise InputError(f"{name} cannot be used", got=str(first["input"])[:60], expected=str(first["msg"])) from error
    return run(params, out=None if out is None else Path(out), seed=seed, device=resolve_device(device))


def verify(
    case: Case,
    *,
    expected: PetImage | None = None,
    hlut: Hlut | None = None,
    beam_model: BeamModel | None = None,
    out: PathLike | None = None,
    seed: int = 0,
    device: str | Device = "auto",
    config: PathLike | None = None,
    **params: Any,
) -> AnalysisResult:
    """Did the protons stop where the plan says? Runs the analysis ``range-verification``.

    Parameters
    ----------
    case : Case
        With PET and plan; see `read_case`.
    expected : PetImage, optional
        Expected PET of the plan; simulated where absent.
    hlut, beam_model : optional
        Calibrations of the clinic; generic ones with a finding where absent.
    out : path, optional
        Folder for result, figures and report.
    config : path, optional
        Site file; where absent that of PROTONQA_CONFIG or of the user's configuration folder, as on the command line.
    params
        Parameters of the analysis, such as ``tolerance_mm``; see ``protonqa analyses``.

    Returns
    -------
    AnalysisResult
        ``state``, ``measurements["mean_shift"]``, ``findings``; also where nothing could be evaluated or it failed.

    Raises
    ------
    InputError
        Parameters that cannot be used.
    """
    from protonqa.analyses.registry import load_analysis
    from protonqa.analyses.runner import check_params, run_analysis
    from protonqa.app.site_values import with_site
    from protonqa.device import resolve_device
    from protonqa.site.reading import current_site

    loaded = load_analysis("range-verification")
    optional = {"expected": expected, "hlut": hlut, "beam_model": beam_model}
    values: Mapping[str, Any] = {"case": case, **{k: v for k, v in optional.items() if v is not None}}
    where = resolve_device(device) if isinstance(device, str) else device
    checked = check_params(loaded.analysis, params)
    completed = with_site(loaded.analysis, values, checked, current_site(None if config is None else Path(config)))
    known: dict[str, Any] = {"seed": seed, "device": where, "sources": completed.sources}
    if out is None:
        return run_analysis(
            loaded.analysis,
            completed.values,
            completed.params,
            origin=loaded.origin,
            input_findings=completed.findings,
            **known,
        )
    from protonqa.app.analyses import run_into_folder

    found = completed.findings
    return run_into_folder(loaded, completed.values, completed.params, out=Path(out), findings=found, **known)
