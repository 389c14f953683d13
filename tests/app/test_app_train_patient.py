"""``train --from --case`` from DICOM files: what is read, what is simulated, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from protonqa.app.train import train
from protonqa.app.train_patient import read_patient_case
from protonqa.app.train_values import TrainParams
from protonqa.cli import main
from protonqa.dicom import read_ct
from protonqa.dicom.write_ct import write_ct
from protonqa.dicom.write_identity import DicomIdentity
from protonqa.dicom.write_plan import write_plan
from protonqa.errors import InputError
from protonqa.phantom.field_maker import make_field
from protonqa.range_model.patient_case import ct_identity
from protonqa.range_model.shards import read_training_set
from protonqa.values import Grid, PatientIdentity, Volume

SETTINGS = "seed: 5\ntwins: {twins: 4, rays_per_beam: 6, protons_per_ray: 100, worst_noise_mm: 50.0}\n"


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CT and plan of a box of water, no PET."""
    folder = tmp_path_factory.mktemp("case")
    grid = Grid(shape=(36, 48, 36), spacing_mm=(2.5, 2.5, 2.5), origin_mm=(-43.75, -58.75, -43.75))
    hu = np.full(grid.shape, -1000.0, dtype=np.float32)
    hu[4:32, 4:44, 4:32] = 0.0
    ct = Volume(grid=grid, array=hu, unit="HU")
    plan = make_field(
        ct, patient_position="HFS", target_center_mm=(0.0, 5.0, 0.0), target_radius_mm=8.0, gantry_deg=0.0
    )
    identity = DicomIdentity.new(
        seed="box", patient=PatientIdentity(patient_id="BOX", name="Box^Water"), patient_position="HFS"
    )
    write_ct(ct, folder / "ct", identity=identity)
    write_plan(plan, folder / "plan.dcm", identity=identity)
    return folder


def test_a_case_without_a_pet_is_enough_and_its_identity_is_that_of_its_ct(case: Path) -> None:
    patient = read_patient_case(case, beam=None)
    volume, info, _ = read_ct(case / "ct")
    assert patient.identity == ct_identity(volume, info.frame_of_reference_uid)
    assert len(patient.beams) == 1
    assert "BOX" not in repr(patient.identity)
    with pytest.raises(InputError):
        read_patient_case(case, beam=7)
    with pytest.raises(InputError, match="no case"):
        read_patient_case(case / "nothing", beam=None)


def test_twins_are_simulated_and_found_again(case: Path, tmp_path: Path) -> None:
    settings = tmp_path / "patient.yaml"
    settings.write_text(SETTINGS, encoding="utf-8")
    params = TrainParams(
        config=settings, start="shipped", case=case, out=tmp_path / "out", set_only=True, set_workers=0
    )
    heard: list[float] = []
    made = train(params, progress=lambda done, total, _: heard.append(done / total))
    assert made.rays == len(read_training_set(tmp_path / "out" / "training-set")) > 0
    assert heard == sorted(heard)
    again = train(params)
    assert again.set_hash == made.set_hash
    assert again.seconds < 60.0


def test_options_that_do_not_fit_together_are_refused(
    case: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--case", str(case), "--out", str(tmp_path / "a")]) != 0
    assert "--from" in capsys.readouterr().err
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("twin: {}\n", encoding="utf-8")
    words = ["train", str(wrong), "--from", "shipped", "--case", str(case), "--out", str(tmp_path / "b")]
    assert main(words) != 0
    assert "twins" in capsys.readouterr().err
