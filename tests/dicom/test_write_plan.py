"""Written RT Ion Plan: control points in pairs, metersets that add up, geometry in the first point."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from protonqa.dicom.write_dataset import encode, required
from protonqa.dicom.write_identity import DicomIdentity
from protonqa.dicom.write_plan import write_plan
from protonqa.errors import DicomError, InputError, StoreError
from protonqa.values import Beam, EnergyLayer, IonPlan, RangeShifter

IDENTITY = DicomIdentity.new(seed="plan")


def layer(energy_mev: float, n: int = 3, seed: int = 0, **changes) -> EnergyLayer:
    rng = np.random.default_rng(seed)
    values = {"spot_xy_mm": rng.uniform(-50, 50, (n, 2)), "meterset_mu": rng.random(n), "spot_fwhm_mm": (8.0, 9.0)}
    return EnergyLayer(energy_mev=energy_mev, **{**values, **changes})


def beam(number: int = 1, **changes) -> Beam:
    values = {
        "name": f"Field {number}",
        "gantry_deg": 270.0,
        "couch_deg": 10.0,
        "isocenter_mm": (12.5, -30.25, 101.125),
        "layers": (layer(150.0, 4, 1), layer(140.5, 1, 2), layer(120.25, 3, 3)),
        "virtual_sad_mm": (1950.0, 2250.0),
    }
    return Beam(number=number, **{**values, **changes})


def plan(*beams: Beam, **changes) -> IonPlan:
    return IonPlan(
        **{"patient_position": "FFS", "beams": beams or (beam(),), "label": "LIVER", "fractions": 5, **changes}
    )


def written(folder: Path, p: IonPlan | None = None, **options) -> pydicom.Dataset:
    write_plan(p or plan(), folder / "plan.dcm", identity=IDENTITY, **options)
    return pydicom.dcmread(folder / "plan.dcm")


def test_layers_become_pairs_of_control_points(tmp_path):
    b = beam()
    item = written(tmp_path).IonBeamSequence[0]
    points = item.IonControlPointSequence
    assert (item.NumberOfControlPoints, len(points)) == (6, 6)
    assert [p.ControlPointIndex for p in points] == list(range(6))
    total = 0.0
    for index, one in enumerate(b.layers):
        first, second = points[2 * index], points[2 * index + 1]
        weights = np.atleast_1d(first.ScanSpotMetersetWeights)
        assert (first.NominalBeamEnergy, second.NominalBeamEnergy) == (one.energy_mev, one.energy_mev)
        assert np.array_equal(np.reshape(first.ScanSpotPositionMap, (-1, 2)), one.spot_xy_mm.astype(np.float32))
        assert np.array_equal(weights, one.meterset_mu.astype(np.float32))
        assert np.array_equal(np.atleast_1d(second.ScanSpotMetersetWeights), np.zeros(weights.size))
        assert np.array_equal(second.ScanSpotPositionMap, first.ScanSpotPositionMap)
        assert first.NumberOfScanSpotPositions == weights.size == second.NumberOfScanSpotPositions
        assert list(first.ScanningSpotSize) == [8, 9]
        assert float(first.CumulativeMetersetWeight) == pytest.approx(total, abs=1e-12)
        total += float(np.sum(weights, dtype=float))
        assert float(second.CumulativeMetersetWeight) == pytest.approx(total, rel=1e-12)
    assert float(item.FinalCumulativeMetersetWeight) == pytest.approx(total, rel=1e-12)
    assert total == pytest.approx(b.meterset_mu, rel=1e-6)


def test_metersets_and_doses_stand_in_the_fraction_group(tmp_path):
    ds = written(tmp_path, plan(beam(1), beam(4, name="")), beam_dose_gy={4: 1.25})
    group = ds.FractionGroupSequence[0]
    assert (group.NumberOfFractionsPlanned, group.NumberOfBeams) == (5, 2)
    first, second = group.ReferencedBeamSequence
    assert (first.ReferencedBeamNumber, second.ReferencedBeamNumber) == (1, 4)
    assert "BeamDose" not in first
    assert second.BeamDose == 1.25
    for reference, item in zip(group.ReferencedBeamSequence, ds.IonBeamSequence, strict=True):
        assert reference.BeamMeterset == item.FinalCumulativeMetersetWeight
    assert ds.IonBeamSequence[1].BeamName == "Beam 4"


def test_geometry_stands_in_the_first_control_point(tmp_path):
    ds = written(tmp_path, plan(beam(gantry_deg=-90.0, couch_deg=360.0)), snout_position_mm=420.0, machine="GTR1")
    item = ds.IonBeamSequence[0]
    first = item.IonControlPointSequence[0]
    assert (first.GantryAngle, first.PatientSupportAngle, first.BeamLimitingDeviceAngle) == (270, 0, 0)
    assert list(first.IsocenterPosition) == [12.5, -30.25, 101.125]
    assert first.SnoutPosition == 420
    assert list(item.VirtualSourceAxisDistances) == [1950, 2250]
    assert item.TreatmentMachineName == "GTR1"
    assert "GantryAngle" not in item.IonControlPointSequence[1]
    assert (item.RadiationType, item.ScanMode, item.PrimaryDosimeterUnit) == ("PROTON", "MODULATED", "MU")
    assert item.NumberOfRangeShifters == 0
    assert "RangeShifterSequence" not in item


def test_attributes_of_the_plan(tmp_path):
    info = write_plan(plan(), tmp_path / "p.dcm", identity=IDENTITY)
    ds = pydicom.dcmread(tmp_path / "p.dcm")
    assert ds.file_meta.MediaStorageSOPClassUID == ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.481.8"
    assert ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert (ds.Modality, ds.ApprovalStatus, ds.PlanIntent) == ("RTPLAN", "UNAPPROVED", "RESEARCH")
    assert (ds.RTPlanLabel, ds.RTPlanGeometry) == ("LIVER", "TREATMENT_DEVICE")
    assert ds.PatientSetupSequence[0].PatientPosition == "FFS"
    assert ds.FrameOfReferenceUID == IDENTITY.frame_of_reference_uid
    assert "ReferencedStructureSetSequence" not in ds
    assert info.sop_instance_uids == (ds.SOPInstanceUID,)
    assert ds.IonBeamSequence[0].IonControlPointSequence[0].SnoutPosition is None


def test_a_structure_set_is_referenced_when_given(tmp_path):
    ds = written(tmp_path, structure_set_uid="1.2.3")
    assert ds.RTPlanGeometry == "PATIENT"
    reference = ds.ReferencedStructureSetSequence[0]
    assert reference.ReferencedSOPInstanceUID == "1.2.3"
    assert reference.ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.481.3"
    with pytest.raises(DicomError, match="structure set"):
        written(tmp_path, structure_set_uid="../../x")


def test_a_range_shifter_is_named_set_and_placed(tmp_path):
    shifter = RangeShifter(name="RS40", wet_mm=40.0, distance_mm=150.0, material="pmma")
    item = written(tmp_path, plan(beam(range_shifter=shifter))).IonBeamSequence[0]
    assert item.NumberOfRangeShifters == 1
    described = item.RangeShifterSequence[0]
    assert (described.RangeShifterID, described.RangeShifterDescription) == ("RS40", "pmma")
    setting = item.IonControlPointSequence[0].RangeShifterSettingsSequence[0]
    assert (setting.ReferencedRangeShifterNumber, setting.RangeShifterSetting) == (1, "IN")
    assert (setting.RangeShifterWaterEquivalentThickness, setting.IsocenterToRangeShifterDistance) == (40.0, 150.0)


def test_a_layer_of_more_spots_than_explicit_syntax_can_hold(tmp_path):
    big = layer(150.0, 9000)
    ds = written(tmp_path, plan(beam(layers=(big,))))
    assert ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2"
    point = ds.IonBeamSequence[0].IonControlPointSequence[0]
    assert np.array_equal(np.reshape(point.ScanSpotPositionMap, (-1, 2)), big.spot_xy_mm.astype(np.float32))


def test_the_same_seed_gives_the_same_bytes_and_another_plan_another_identifier(tmp_path):
    uids = [
        write_plan(p, tmp_path / n, identity=IDENTITY).sop_instance_uids
        for n, p in (("a", plan()), ("b", plan()), ("c", plan(beam(gantry_deg=90.0))))
    ]
    assert uids[0] == uids[1] != uids[2]
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


NO_SPOTS = EnergyLayer(energy_mev=100, spot_xy_mm=np.zeros((0, 2)), meterset_mu=np.zeros(0))
REFUSED = {
    "no beam": (IonPlan(patient_position="HFS", beams=()), "0 beams"),
    "one number twice": (plan(beam(2), beam(2)), "different numbers"),
    "unsupported": (plan(beam(unsupported=("a photon beam",))), "photon"),
    "no layer": (plan(beam(layers=())), "no energy layer"),
    "no spots": (plan(beam(layers=(NO_SPOTS,))), "no energy layer or one without spots"),
    "no meterset": (plan(beam(layers=(layer(100, meterset_mu=np.zeros(3)),))), "delivers nothing"),
    "a long label": (plan(label="x" * 17), "RTPlanLabel"),
    "a hostile name": (plan(beam(name="a\\b")), "BeamName"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_plans_that_cannot_be_written_are_refused_and_the_old_file_stays(tmp_path, name):
    bad, message = REFUSED[name]
    written(tmp_path)
    old = (tmp_path / "plan.dcm").read_bytes()
    with pytest.raises((InputError, DicomError), match=message):
        written(tmp_path, bad)
    assert (tmp_path / "plan.dcm").read_bytes() == old


def test_a_full_disk_keeps_the_old_plan(tmp_path, monkeypatch):
    written(tmp_path)
    old = (tmp_path / "plan.dcm").read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match="RT Ion Plan"):
        written(tmp_path, plan(label="NEW"))
    assert (tmp_path / "plan.dcm").read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["plan.dcm"]


@pytest.mark.parametrize("keyword", ["RTPlanLabel", "IonBeamSequence", "SOPInstanceUID"])
def test_a_missing_essential_attribute_stops_the_writing(tmp_path, keyword):
    ds = written(tmp_path)
    needed = required("RTPlanLabel", IonBeamSequence=required("BeamNumber", "BeamName"))
    assert encode(ds, needed)
    del ds[keyword]
    with pytest.raises(DicomError, match=keyword):
        encode(ds, needed)


def test_a_missing_attribute_of_an_item_is_named_with_its_sequence(tmp_path):
    ds = written(tmp_path)
    ds.IonBeamSequence[0].BeamName = ""
    with pytest.raises(DicomError, match=r"IonBeamSequence\.BeamName"):
        encode(ds, required(IonBeamSequence=required("BeamName")))
