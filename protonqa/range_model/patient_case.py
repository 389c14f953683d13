"""The patient that a model is fine-tuned for: CT, calibration and beams of the plan, as one file for the workers."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protonqa.durable import write_bytes_atomic
from protonqa.errors import InputError, NotEvaluableError, StoreError
from protonqa.geometry.body import body_mask
from protonqa.geometry.frames import BeamFrame, beam_frame
from protonqa.geometry.resample import bev_grid
from protonqa.montecarlo.range_shifter import Slab
from protonqa.montecarlo.source import Source, field_source
from protonqa.physics.stopping import csda_range_water_mm
from protonqa.range_model.scenes import COLUMN_MM, FIELD_MARGIN_MM, FINE_BELOW_MM
from protonqa.values import Beam, BeamModel, Grid, Hlut, IonPlan, Volume

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamFacts:
    """Plain numbers of a beam: its range in water behind the range shifter, energies, and what they spread by."""

    number: int
    range_mm: float
    energy_low_mev: float
    energy_high_mev: float
    spread_percent: float
    layers: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PatientBeam:
    """A beam of the plan on the grid along it that its simulations are crops of; `source` lies in its local axes."""

    facts: BeamFacts
    grid: Grid
    source: Source
    isocenter_mm: Floats

    def source_on(self, crop: Grid) -> Source:
        """The source in the local axes of a crop of the grid."""
        shift = self.grid.local_from_world(crop.world_from_index((-0.5, -0.5, -0.5)))
        spots = self.source.spots.copy()
        spots[:, :3] -= shift
        slab = self.source.slab
        if slab is not None:
            slab = Slab(material=slab.material, corner=slab.corner - shift, axes=slab.axes, sides_mm=slab.sides_mm)
        return Source(
            spots=spots,
            weights=self.source.weights,
            axis=self.source.axis,
            reference=np.array([0.5 * crop.size_mm[0], 0.5 * crop.size_mm[1], 0.0]),
            slab=slab,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PatientCase:
    """CT, body, calibration and beams; `identity` is `ct_identity`."""

    ct: Volume
    body: NDArray[np.bool_]
    hlut: Hlut | None
    beams: tuple[PatientBeam, ...]
    identity: str


def ct_identity(ct: Volume, frame_of_reference_uid: str) -> str:
    """SHA-256 of a CT as a place: its frame of reference, its grid and its voxels. It names nobody."""
    digest = hashlib.sha256(f"{frame_of_reference_uid}|{ct.grid.shape}|".encode())
    for values in (ct.grid.spacing_mm, ct.grid.origin_mm, ct.grid.direction):
        digest.update(np.round(np.asarray(values, dtype=np.float64), 6).tobytes())
    digest.update(np.ascontiguousarray(ct.array, dtype=np.float32).tobytes())
    return digest.hexdigest()


def patient_case(
    ct: Volume, frame_of_reference_uid: str, plan: IonPlan, beams: tuple[Beam, ...], model: BeamModel, hlut: Hlut | None
) -> PatientCase:
    """What the twins of a patient are made from.

    Raises
    ------
    NotEvaluableError
        A beam that cannot be simulated, or a range shifter of unknown thickness.
    InputError
        No beam, or one without weight.
    """
    if not beams:
        raise InputError("the plan has no beams", expected="at least one proton field")
    return PatientCase(
        ct=ct,
        body=body_mask(ct),
        hlut=hlut,
        beams=tuple(_beam(ct, plan, beam, model) for beam in beams),
        identity=ct_identity(ct, frame_of_reference_uid),
    )


def _beam(ct: Volume, plan: IonPlan, beam: Beam, model: BeamModel) -> PatientBeam:
    if beam.unsupported:
        raise NotEvaluableError(f"beam {beam.number} cannot be simulated", got="; ".join(beam.unsupported))
    frame = beam_frame(plan.patient_position, beam.gantry_deg, beam.couch_deg, beam.isocenter_mm)
    layers = [layer for layer in beam.layers if (layer.meterset_mu > 0).any()]
    if not layers:
        raise InputError(f"beam {beam.number} has no spot with weight", remedy="check the plan's meterset weights")
    nodes = [model.at(layer.energy_mev) for layer in layers]
    top = max(nodes, key=lambda at: at["mean_mev"])
    xy = np.concatenate([layer.spot_xy_mm[layer.meterset_mu > 0] for layer in layers])
    low, high = xy.min(axis=0) - FIELD_MARGIN_MM, xy.max(axis=0) + FIELD_MARGIN_MM
    water = float(csda_range_water_mm(top["mean_mev"]))
    grid = _grid(ct, frame, low, high, 0.5 if water < FINE_BELOW_MM else 1.0)
    source = field_source(grid, beam, frame, model)
    if source.slab is not None and beam.range_shifter is not None:
        water -= float(beam.range_shifter.wet_mm or 0.0)
    facts = BeamFacts(
        number=beam.number,
        range_mm=max(water, 1.0),
        energy_low_mev=min(at["mean_mev"] for at in nodes),
        energy_high_mev=top["mean_mev"],
        spread_percent=top["spread_percent"],
        layers=len(layers),
    )
    return PatientBeam(facts=facts, grid=grid, source=source, isocenter_mm=np.asarray(frame.isocenter_mm))


def _grid(ct: Volume, frame: BeamFrame, low: Floats, high: Floats, step_mm: float) -> Grid:
    """Columns of whole voxels over the field and its margin, along the beam through the whole CT and beyond."""
    middle = np.asarray(ct.grid.center_mm)
    centre = float((middle - np.asarray(frame.isocenter_mm)) @ frame.direction)
    reach = np.ceil(0.5 * float(np.linalg.norm(ct.grid.size_mm)) + 60.0)
    first = COLUMN_MM * np.floor(low / COLUMN_MM)
    last = COLUMN_MM * np.ceil(high / COLUMN_MM)
    return bev_grid(
        frame,
        x_mm=(float(first[0]), float(last[0])),
        y_mm=(float(first[1]), float(last[1])),
        along_mm=(centre - reach, centre + reach),
        spacing_mm=(COLUMN_MM, COLUMN_MM, step_mm),
    )


def write_patient(path: Path, patient: PatientCase) -> str:
    """Write the patient as one NPZ file without pickle, whole or not at all; returns the hash of its bytes."""
    arrays: dict[str, NDArray[Any]] = {
        "ct": patient.ct.array,
        "body": patient.body,
        **_grid_arrays("ct", patient.ct.grid),
    }
    if patient.hlut is not None:
        arrays |= {"hlut_hu": patient.hlut.hu, "hlut_rsp": patient.hlut.rsp}
    facts = []
    for i, beam in enumerate(patient.beams):
        slab = beam.source.slab
        facts.append({**asdict(beam.facts), "slab": None if slab is None else slab.material})
        arrays |= _grid_arrays(f"beam{i}", beam.grid)
        arrays |= {f"beam{i}_spots": beam.source.spots, f"beam{i}_weights": beam.source.weights}
        arrays |= {f"beam{i}_axis": beam.source.axis, f"beam{i}_isocenter": beam.isocenter_mm}
        if slab is not None:
            arrays |= {f"beam{i}_slab": np.concatenate([slab.corner, slab.axes.ravel(), slab.sides_mm])}
    arrays["facts"] = np.array(json.dumps({"identity": patient.identity, "beams": facts}))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in sorted(arrays):
            part = io.BytesIO()
            np.save(part, arrays[name], allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), part.getvalue())
    content = out.getvalue()
    write_bytes_atomic(path, content, label="patient of the fine-tuning")
    return hashlib.sha256(content).hexdigest()


def read_patient(path: Path, content_hash: str) -> PatientCase:
    """The patient of `write_patient`.

    Raises
    ------
    StoreError
        The file is not there, damaged, or another one.
    """
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != content_hash:
            raise StoreError("the file of the patient is another one", remedy="start the fine-tuning again")
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: np.asarray(archive[name]) for name in archive.files}
        facts = json.loads(str(arrays["facts"]))
        hlut = Hlut(hu=arrays["hlut_hu"], rsp=arrays["hlut_rsp"]) if "hlut_hu" in arrays else None
        return PatientCase(
            ct=Volume(grid=_grid_of("ct", arrays), array=arrays["ct"], unit="HU"),
            body=arrays["body"],
            hlut=hlut,
            beams=tuple(_read_beam(i, one, arrays) for i, one in enumerate(facts["beams"])),
            identity=facts["identity"],
        )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise StoreError("the file of the patient cannot be read", got=type(error).__name__) from error


def _read_beam(number: int, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> PatientBeam:
    def of(name: str) -> NDArray[Any]:
        return arrays[f"beam{number}_{name}"]

    material, slab = facts.pop("slab"), None
    if material is not None:
        numbers = of("slab")
        slab = Slab(material=material, corner=numbers[:3], axes=numbers[3:12].reshape(3, 3), sides_mm=numbers[12:])
    source = Source(spots=of("spots"), weights=of("weights"), axis=of("axis"), reference=np.zeros(3), slab=slab)
    return PatientBeam(
        facts=BeamFacts(**facts), grid=_grid_of(f"beam{number}", arrays), source=source, isocenter_mm=of("isocenter")
    )


def _grid_arrays(name: str, grid: Grid) -> dict[str, NDArray[Any]]:
    numbers = np.concatenate([grid.spacing_mm, grid.origin_mm, np.asarray(grid.direction).ravel()])
    return {f"{name}_shape": np.array(grid.shape), f"{name}_place": numbers}


def _grid_of(name: str, arrays: dict[str, NDArray[Any]]) -> Grid:
    nz, ny, nx = (int(n) for n in arrays[f"{name}_shape"])
    place = [float(v) for v in arrays[f"{name}_place"]]
    return Grid(
        shape=(nz, ny, nx),
        spacing_mm=(place[0], place[1], place[2]),
        origin_mm=(place[3], place[4], place[5]),
        direction=np.array(place[6:]).reshape(3, 3),
    )
