"""`predict`: the range model on plain activity profiles."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from protonqa.app.progress import Progress, report_progress
from protonqa.device import CPU, Device
from protonqa.values import Finding

if TYPE_CHECKING:
    from protonqa.range_model.model_file import RangeModel
    from protonqa.range_model.predict import RangePrediction

#: Columns of the range table, in order; ``reason`` says why a ray is not answered.
RANGE_COLUMNS = ("ray", "r80_mm", "r80_low_mm", "r80_high_mm", "a50_mm", "a50_line_r80_mm", "state", "reason")
_NUMBERS = {
    "r80_mm": "r80_mm",
    "r80_low_mm": "low_mm",
    "r80_high_mm": "high_mm",
    "a50_mm": "a50_mm",
    "a50_line_r80_mm": "a50_line_r80_mm",
}


class PredictParams(BaseModel):
    """Profiles in, ranges and depth doses out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profiles: Path = Field(description="Activity profiles: CSV or NPZ with depth_mm, activity, ...")
    out: Path = Field(description="Depth doses (CSV); the ranges go beside it as FILE_ranges.csv.")
    weights: Path | None = Field(None, description="A model of your own: folder of train [default: the shipped one].")
    ct: Path | None = Field(None, description="CT these profiles belong to, for a model made for one patient.")
    threads: int | None = Field(None, ge=1, le=1024, description="Threads [default: those of torch].")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """What the model says about every ray of a file."""

    parts: tuple[RangePrediction, ...]
    model: str
    device: Device
    findings: tuple[Finding, ...]

    @property
    def answered(self) -> int:
        """Rays with an answer."""
        return sum(int(part.answered.sum()) for part in self.parts)

    def rows(self) -> list[dict[str, Any]]:
        """A row for each ray under the names of `RANGE_COLUMNS`; what is not known is None."""
        return [
            {
                "ray": part.ray[i],
                **{column: _number(getattr(part, name)[i]) for column, name in _NUMBERS.items()},
                "state": part.state[i],
                "reason": part.reason[i],
            }
            for part in self.parts
            for i in range(len(part.ray))
        ]

    def to_plain(self) -> dict[str, Any]:
        """JSON types with the key ``ranges``."""
        from protonqa.analyses.result_json import finding_to_plain

        rows = self.rows()
        return {
            "ranges": rows,
            "rays": len(rows),
            "answered": self.answered,
            "model": self.model,
            "device": self.device.kind,
            "findings": [finding_to_plain(one) for one in self.findings],
        }

    def summary(self) -> str:
        """Some lines for a terminal."""
        rows = self.rows()
        lines = [f"{self.answered} of {len(rows)} rays answered by model {self.model}"]
        lines += [f"  ray {row['ray']}: {_answer(row)}" for row in rows[:20]]
        if len(rows) > 20:
            lines.append(f"  ... and {len(rows) - 20} more in the table")
        return "\n".join([*lines, *(f"  {one.severity.value}: {one.text}" for one in self.findings)])


def predict(
    params: PredictParams, *, device: Device = CPU, progress: Progress | None = None, model: RangeModel | None = None
) -> Prediction:
    """Read profiles, predict, write depth doses and ranges.

    Parameters
    ----------
    model : RangeModel, optional
        By default that of ``params.weights``, or the shipped one.

    Raises
    ------
    InputError
        A table that cannot be used.
    ModelFileError
        No model, or a damaged one.
    StoreError
        A file cannot be written.
    """
    from protonqa.analyses.run_folder import prove_writable
    from protonqa.durable import write_text_atomic
    from protonqa.files.profiles import read_profiles
    from protonqa.range_model.predict import predict_ranges

    table = read_profiles(params.profiles)
    prove_writable(params.out.parent)
    report_progress(progress, None, 0, 1, "model")
    used = model or _model(params.weights)
    identity = None if params.ct is None else _identity(params.ct)
    parts = []
    for done, one in enumerate(table.sets):
        report_progress(progress, None, done, len(table.sets), "predicting")
        parts.append(predict_ranges(used, one, device, threads=params.threads, ct_identity=identity))
    findings = [*table.findings, *(finding for part in parts for finding in part.findings)]
    outcome = Prediction(
        parts=tuple(parts),
        model=used.card.name,
        device=device,
        findings=tuple(dict.fromkeys(findings)),
    )
    write_text_atomic(params.out, _dose_text(outcome.parts), label="depth doses")
    write_text_atomic(ranges_path(params.out), _range_text(outcome.rows()), label="range table")
    return outcome


def ranges_path(out: Path) -> Path:
    """Where the ranges go: the name without its suffix, and ``_ranges.csv``."""
    return out.with_name(f"{out.stem}_ranges.csv")


def _model(weights: Path | None) -> RangeModel:
    from protonqa.range_model.model_file import load_model, shipped_model

    return shipped_model() if weights is None else load_model(weights)


def _identity(ct: Path) -> str:
    from protonqa.dicom import read_ct
    from protonqa.range_model.patient_case import ct_identity

    volume, info, _ = read_ct(ct)
    return ct_identity(volume, info.frame_of_reference_uid)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _answer(row: dict[str, Any]) -> str:
    if row["r80_mm"] is None:
        return f"{row['state']}, {row['reason']}"
    return f"R80 {row['r80_mm']:.2f} mm ({row['r80_low_mm']:.2f} to {row['r80_high_mm']:.2f})"


def _dose_text(parts: tuple[RangePrediction, ...]) -> str:
    """Rows of the answered rays; a ray without an answer has no dose."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("ray", "depth_mm", "dose"))
    for part in parts:
        for i in np.flatnonzero(part.answered):
            writer.writerows(
                (part.ray[i], repr(float(depth)), repr(float(dose)))
                for depth, dose in zip(part.depth_mm, part.dose[i], strict=True)
            )
    return buffer.getvalue()


def _range_text(rows: list[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, RANGE_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
    return buffer.getvalue()
