"""`train --from --case`: a model for one patient, from the planning CT and the plan. Killed, the next call goes on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protonqa.analyses.interface import Input
from protonqa.app.case_files import describe_case
from protonqa.app.progress import Progress, report_progress, stages
from protonqa.app.train_values import Trained, TrainParams
from protonqa.errors import InputError
from protonqa.values import BeamModel, Case, Hlut

if TYPE_CHECKING:
    from protonqa.range_model.finetune import FineTuneConfig
    from protonqa.range_model.model_file import RangeModel
    from protonqa.range_model.patient_case import PatientCase

SHIPPED = "shipped"
_INPUTS = (
    Input("case", Case),
    Input("hlut", Hlut, optional=True),
    Input("beam_model", BeamModel, optional=True),
)


def train_patient(params: TrainParams, *, progress: Progress | None = None) -> Trained:
    """Simulate the patient's twins where they are not there yet, fine-tune, check the intervals, score and save.

    Raises
    ------
    InputError
        A case without CT or plan, options or settings that cannot be used, twins that failed.
    ModelFileError
        A starting model that is not there or damaged.
    NotEvaluableError
        A beam that cannot be simulated.
    StoreError
        The folder cannot be written, or holds twins of another patient.
    Cancelled
    """
    from protonqa.analyses.run_folder import prove_writable
    from protonqa.jobs.runner import backend_for
    from protonqa.range_model.finetune import PatientFacts, fine_tune
    from protonqa.range_model.patient_set import make_patient_set
    from protonqa.range_model.shards import read_training_set

    began = time.perf_counter()
    if params.start is None or params.case is None:
        raise InputError("fine-tuning needs both --from and --case", remedy="give the model to begin with and the case")
    prove_writable(params.out)
    config, start = _config(params.config), starting_model(params.start)
    reading, simulating, training = stages(progress, (1, 10, 10))
    report_progress(reading, None, 0, 1, "reading the case")
    patient = read_patient_case(params.case, beam=params.beam)
    folder = params.training_set or params.out / "training-set"
    backend = backend_for(params.set_workers, params.scheduler)
    manifest = make_patient_set(patient, config.twins, folder, on=backend, progress=simulating)
    metrics: tuple[dict[str, Any], ...] = ()
    if not params.set_only:
        model = fine_tune(
            start,
            config,
            read_training_set(folder),
            params.out,
            patient=PatientFacts(ct_identity=patient.identity, beams=tuple(b.facts.number for b in patient.beams)),
            replay=None if params.replay is None else read_training_set(params.replay),
            threads=params.threads,
            workers=params.workers,
            progress=training,
        )
        metrics = tuple(row.model_dump(mode="json") for row in model.card.metrics)
    return Trained(
        folder=params.out,
        rays=manifest.n_ray,
        set_hash=manifest.set_hash,
        seconds=time.perf_counter() - began,
        metrics=metrics,
    )


def starting_model(name: str) -> RangeModel:
    """The shipped model, or one of a folder."""
    from protonqa.range_model.model_file import load_model, shipped_model

    return shipped_model() if name == SHIPPED else load_model(Path(name))


def read_patient_case(folder: Path, *, beam: int | None) -> PatientCase:
    """CT, plan and calibrations of a case folder; a PET is not needed.

    Parameters
    ----------
    beam : int or None
        One beam of the plan; None takes all that can be simulated.
    """
    from protonqa.dicom import read_case
    from protonqa.files.calibrations import read_beam_model, read_hlut
    from protonqa.physics.beam_models import generic_beam_model
    from protonqa.range_model.patient_case import patient_case

    if not folder.exists():
        raise InputError("there is no case at this path", expected="a folder with CT and plan", remedy="check --case")
    found = {name: path for name, path in describe_case(folder, _INPUTS).inputs.items() if isinstance(path, Path)}
    if "plan" not in found:
        raise InputError("the case holds no plan", expected="an RT Ion Plan beside the CT")
    case = read_case(found["ct"], plan=found["plan"])
    if case.plan is None:
        raise InputError("the case holds no plan", expected="an RT Ion Plan beside the CT")
    beams = case.plan.beams if beam is None else (case.plan.beam(beam),)
    usable = tuple(one for one in beams if not one.unsupported) or beams
    return patient_case(
        case.ct,
        case.ct_info.frame_of_reference_uid,
        case.plan,
        usable,
        read_beam_model(found["beam_model"]) if "beam_model" in found else generic_beam_model(),
        read_hlut(found["hlut"]) if "hlut" in found else None,
    )


def _config(path: Path | None) -> FineTuneConfig:
    from protonqa.range_model.finetune import FineTuneConfig
    from protonqa.yaml_lines import read_lined_file

    config = FineTuneConfig() if path is None else read_lined_file(path, FineTuneConfig, "fine-tuning")
    return config.seeded()
