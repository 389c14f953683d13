"""`phantom`: a phantom or digital twin as voxels, for programs that read images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from protonqa.app.progress import Progress, report_progress
from protonqa.values import Finding, PatientIdentity, Volume

CT_FILE = "ct.mha"
#: Length of a PatientID in DICOM.
_ID_LENGTH = 64


class PhantomParams(BaseModel):
    """Which phantom, where to, and in which form."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    source: str = Field(description="Phantom name, phantom YAML, or twin:SEED or twin:SITE:SEED for a digital twin.")
    out: Path = Field(description="Folder of ct.mha, or of the DICOM series.")
    dicom: bool = Field(False, description="Write a DICOM CT series instead of ct.mha.")
    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = Field(
        None, description="Voxel size, x y z, mm [default: that of the phantom; 2 mm for a twin]."
    )
    hlut: Path | None = Field(
        None, description="HU calibration (CSV) through which the CT will be read; for the findings."
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WrittenPhantom:
    """What was written and what a reader of it must know."""

    name: str
    ct: Volume
    tissues: tuple[str, ...]
    files: tuple[str, ...]
    findings: tuple[Finding, ...]

    def to_plain(self) -> dict[str, Any]:
        """JSON types."""
        from protonqa.analyses.result_json import finding_to_plain

        nz, ny, nx = self.ct.grid.shape
        return {
            "phantom": self.name,
            "voxels": [nx, ny, nz],
            "spacing_mm": list(self.ct.grid.spacing_mm),
            "size_mm": list(self.ct.grid.size_mm),
            "tissues": list(self.tissues),
            "files": list(self.files),
            "findings": [finding_to_plain(one) for one in self.findings],
        }

    def summary(self) -> str:
        """Some lines for a terminal."""
        nz, ny, nx = self.ct.grid.shape
        spacing = " x ".join(f"{step:g}" for step in self.ct.grid.spacing_mm)
        what = self.files[0] if len(self.files) == 1 else f"{len(self.files)} DICOM slices"
        lines = [f"{self.name}: {nx} x {ny} x {nz} voxels of {spacing} mm, {len(self.tissues)} tissues, {what}"]
        return "\n".join([*lines, *(f"  {one.severity.value}: {one.text}" for one in self.findings)])


def write_phantom(params: PhantomParams, *, seed: int = 0, progress: Progress | None = None) -> WrittenPhantom:
    """Voxelise and write.

    Raises
    ------
    InputError
        Unknown phantom (with the nearest name), a wrong YAML (with the line), a size that is not whole voxels.
    StoreError
        The folder cannot be written, or holds slices of another origin.
    """
    from protonqa.analyses.run_folder import prove_writable
    from protonqa.files.calibrations import read_hlut
    from protonqa.phantom import export_differences, voxel_phantom

    hlut = None if params.hlut is None else read_hlut(params.hlut)
    report_progress(progress, None, 0, 2, "voxels")
    phantom = voxel_phantom(params.source, params.spacing_mm)
    prove_writable(params.out)
    ct = phantom.volume()
    report_progress(progress, None, 1, 2, "writing")
    files = _dicom(ct, phantom.name, params.out, seed) if params.dicom else _metaimage(ct, params.out)
    return WrittenPhantom(
        name=phantom.name,
        ct=ct,
        tissues=phantom.tissues,
        files=files,
        findings=(*phantom.findings, *export_differences(phantom, hlut)),
    )


def _metaimage(ct: Volume, out: Path) -> tuple[str, ...]:
    from protonqa.files.metaimage import write_metaimage

    write_metaimage(ct, out / CT_FILE)
    return (CT_FILE,)


def _dicom(ct: Volume, name: str, out: Path, seed: int) -> tuple[str, ...]:
    """A CT series of its own study, head first supine; the same phantom and seed give the same files."""
    from protonqa.dicom.write_ct import write_ct
    from protonqa.dicom.write_identity import DicomIdentity
    from protonqa.dicom.write_series import slice_name

    plain = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)
    patient = PatientIdentity(patient_id=f"PHANTOM-{plain}"[:_ID_LENGTH], name=f"Phantom^{plain}"[:_ID_LENGTH])
    identity = DicomIdentity.new(seed=f"phantom-{name}-{seed}", patient=patient, study_description="phantom")
    info = write_ct(ct, out, identity=identity, series_description="phantom CT", overwrite=True)
    return tuple(slice_name(index) for index in range(info.files_used))
