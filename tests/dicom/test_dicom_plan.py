"""RT Ion Plan: layers, metersets, angles, and a verdict for each beam that cannot be evaluated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protonqa.dicom import read_plan
from protonqa.errors import DicomError, GeometryError, InputError


def codes(findings) -> set[str]:
    return {finding.code for finding in findings}


def read(samples, folder, *beams, **attributes):
    path = samples.save(samples.plan(list(beams) or None, **attributes), folder / "plan.dcm")
    return read_plan(path)


def test_a_beam_has_its_angles_isocentre_layers_and_mu(samples, tmp_path):
    plan, info, findings = read(samples, tmp_path)
    beam = plan.beam(1)
    assert beam.unsupported == ()
    assert (beam.gantry_deg, beam.couch_deg, beam.beam_limiting_device_deg) == (90.0, 10.0, 0.0)
    assert beam.isocenter_mm == (1.0, -4.0, 6.0)
    assert beam.virtual_sad_mm == (2000.0, 1800.0)
    assert [layer.energy_mev for layer in beam.layers] == [120.0, 110.0]
    # Weights 3, 1 and 4 of 8 in all stand for 80 MU.
    assert beam.layers[0].meterset_mu.tolist() == [30.0, 10.0]
    assert beam.layers[1].meterset_mu.tolist() == [40.0]
    assert beam.layers[0].spot_xy_mm.tolist() == [[0.0, 5.0], [10.0, 15.0]]
    assert beam.layers[0].spot_fwhm_mm == (9.0, 8.0)
    assert plan.patient_position == "HFS"
    assert plan.fractions == 25
    assert plan.approval_status == "APPROVED"
    assert plan.sop_instance_uid == samples.uid("RTPLAN", "plan")
    assert info.modality == "RTPLAN"
    assert not findings


def test_one_control_point_per_layer_reads_like_pairs_and_is_noted(samples, tmp_path):
    cp = samples.control_point
    first = {"GantryAngle": 90.0, "PatientSupportAngle": 10.0, "IsocenterPosition": [1.0, -4.0, 6.0]}
    points = [cp(0, 120.0, [3, 1], **first), cp(1, 110.0, [4])]
    single, _, findings = read(samples, tmp_path / "a", samples.beam(points=points))
    paired, _, _ = read(samples, tmp_path / "b")
    assert "PLAN-CONTROL-POINTS" in codes(findings)
    for a, b in zip(single.beam(1).layers, paired.beam(1).layers, strict=True):
        assert a.energy_mev == b.energy_mev
        assert np.array_equal(a.meterset_mu, b.meterset_mu)
    assert single.beam(1).unsupported == ()


def test_weights_repeated_in_the_closing_point_of_a_pair_are_not_counted_twice_unseen(samples, tmp_path):
    points = samples.beam().IonControlPointSequence
    points[1].ScanSpotMetersetWeights = [3, 1]
    plan, _, _ = read(samples, tmp_path, samples.beam(points=list(points)))
    assert "add up to 12" in " ".join(plan.beam(1).unsupported)


def test_energy_and_spot_size_carry_over_to_points_that_do_not_repeat_them(samples, tmp_path):
    points = list(samples.beam().IonControlPointSequence)
    del points[1].NominalBeamEnergy
    for point in points[1:]:
        del point.ScanningSpotSize
    plan, _, _ = read(samples, tmp_path, samples.beam(points=points))
    assert [layer.spot_fwhm_mm for layer in plan.beam(1).layers] == [(9.0, 8.0), (9.0, 8.0)]


def _points(samples, **first):
    points = list(samples.beam().IonControlPointSequence)
    for keyword, value in first.items():
        if value is None:
            delattr(points[0], keyword)
        else:
            setattr(points[0], keyword, value)
    return points


@pytest.mark.parametrize(
    ("beam", "reason"),
    [
        ({"RadiationType": "PHOTON"}, "radiation is photon, not proton"),
        ({"RadiationType": "ION"}, "radiation is ion, not proton"),
        ({"RadiationType": None}, "radiation is not stated"),
        ({"ScanMode": "UNIFORM"}, "scan mode is uniform"),
        ({"ScanMode": "NONE"}, "scan mode is none"),
        ({"ModulatedScanModeType": "LINEAR"}, "lines"),
        ({"PrimaryDosimeterUnit": "NP"}, "weights are in NP, not in MU"),
        ({"NumberOfCompensators": 1}, "compensator"),
        ({"NumberOfBlocks": 1}, "aperture"),
        ({"NumberOfBoli": 1}, "bolus"),
        ({"NumberOfRangeModulators": 1}, "range modulator"),
        ({"NumberOfRangeShifters": 1}, "setting is missing"),
        ({"FinalCumulativeMetersetWeight": 9.0}, "add up to 8"),
        ({"IonControlPointSequence": []}, "no ion control points"),
    ],
)
def test_a_beam_that_cannot_be_evaluated_says_why_and_leaves_the_others_alone(samples, tmp_path, beam, reason):
    plan, _, findings = read(samples, tmp_path, samples.beam(1, **beam), samples.beam(2))
    assert reason in " ".join(plan.beam(1).unsupported)
    assert plan.beam(2).unsupported == ()
    assert any(f.code == "PLAN-BEAM-UNSUPPORTED" and "Beam 1" in f.text for f in findings)


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ({"TableTopPitchAngle": 2.0}, "pitched"),
        ({"TableTopRollAngle": -1.0}, "rolled"),
        ({"GantryPitchAngle": 3.0}, "gantry is pitched"),
        ({"GantryAngle": None}, "GantryAngle is missing"),
        ({"PatientSupportAngle": None}, "PatientSupportAngle is missing"),
        ({"IsocenterPosition": None}, "IsocenterPosition is missing"),
        ({"CumulativeMetersetWeight": 2.0}, "contradict its cumulative weights"),
    ],
)
def test_angles_and_positions_that_are_absent_or_out_of_the_model_are_reasons(samples, tmp_path, first, reason):
    plan, _, _ = read(samples, tmp_path, samples.beam(points=_points(samples, **first)))
    assert reason in " ".join(plan.beam(1).unsupported)


@pytest.mark.parametrize(
    ("keyword", "value", "reason"),
    [
        ("GantryAngle", 95.0, "gantry moves"),
        ("PatientSupportAngle", 0.0, "couch moves"),
        ("IsocenterPosition", [1.0, -4.0, 9.0], "several isocentres"),
    ],
)
def test_a_beam_that_moves_while_it_is_on_is_unsupported(samples, tmp_path, keyword, value, reason):
    points = _points(samples)
    setattr(points[2], keyword, value)
    plan, _, _ = read(samples, tmp_path, samples.beam(points=points))
    assert reason in " ".join(plan.beam(1).unsupported)


def _shifted(samples, *settings, **described):
    """A beam with one range shifter whose settings stand in the control points of these indices."""
    points = _points(samples)
    for index, setting in settings:
        points[index].RangeShifterSettingsSequence = [
            samples.item(**({"ReferencedRangeShifterNumber": 4, "RangeShifterSetting": "IN"} | setting))
        ]
    facts = {"RangeShifterNumber": 4, "RangeShifterID": "RS 40mm", "RangeShifterType": "BINARY"} | described
    return samples.beam(points=points, NumberOfRangeShifters=1, RangeShifterSequence=[samples.item(**facts)])


PLACED = {"IsocenterToRangeShifterDistance": 180.0, "RangeShifterWaterEquivalentThickness": 40.5}


@pytest.mark.parametrize(("setting", "inside"), [("IN", True), ("3", True), ("OUT", False)])
def test_a_range_shifter_counts_only_while_it_is_in_the_beam(samples, tmp_path, setting, inside):
    plan, _, _ = read(samples, tmp_path, _shifted(samples, (0, PLACED | {"RangeShifterSetting": setting})))
    shifter = plan.beam(1).range_shifter
    assert (shifter is not None) == inside
    assert plan.beam(1).unsupported == ()
    if shifter is not None:
        assert (shifter.name, shifter.wet_mm, shifter.distance_mm) == ("RS 40mm", 40.5, 180.0)


def test_what_a_plan_does_not_say_about_its_range_shifter_is_a_finding_or_left_to_the_beam_model(samples, tmp_path):
    beam = _shifted(samples, (0, {}))
    beam.IonControlPointSequence[0].SnoutPosition = 250.0
    plan, _, findings = read(samples, tmp_path, beam)
    shifter = plan.beam(1).range_shifter
    assert (shifter.wet_mm, shifter.distance_mm, shifter.material) == (None, 250.0, "")
    texts = [one.text for one in findings if one.code == "PLAN-RANGE-SHIFTER"]
    assert any("stand at the snout" in text for text in texts)
    assert any("material" in text for text in texts)
    named, _, _ = read(samples, tmp_path / "b", _shifted(samples, (0, PLACED), RangeShifterDescription="Lucite slab"))
    assert named.beam(1).range_shifter.material == "pmma"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ([(0, {})], "distance of its range shifter"),
        ([(0, PLACED), (2, {"RangeShifterSetting": "OUT"})], "range shifter moves"),
        ([(2, PLACED)], "range shifter moves"),
        ([(0, PLACED), (2, PLACED | {"IsocenterToRangeShifterDistance": 90.0})], "range shifter moves"),
        ([(0, PLACED), (2, PLACED | {"ReferencedRangeShifterNumber": 5})], "range shifter moves"),
        ([(0, PLACED | {"RangeShifterWaterEquivalentThickness": -3.0})], "thickness of a range shifter"),
        ([(0, PLACED | {"IsocenterToRangeShifterDistance": 1e6})], "stands nowhere"),
    ],
)
def test_a_range_shifter_that_is_no_fixed_slab_is_a_reason(samples, tmp_path, settings, reason):
    plan, _, _ = read(samples, tmp_path, _shifted(samples, *settings))
    assert reason in " ".join(plan.beam(1).unsupported)
    assert plan.beam(1).range_shifter is None


def test_a_thickness_stated_layer_by_layer_is_one_slab(samples, tmp_path):
    again = PLACED | {"RangeShifterWaterEquivalentThickness": 40.9}
    plan, _, _ = read(samples, tmp_path, _shifted(samples, (0, PLACED), (2, again)))
    assert plan.beam(1).range_shifter.wet_mm == 40.5


def test_several_range_shifters_in_the_beam_are_a_reason(samples, tmp_path):
    beam = _shifted(samples, (0, PLACED))
    beam.IonControlPointSequence[0].RangeShifterSettingsSequence.append(
        samples.item(RangeShifterSetting="IN", ReferencedRangeShifterNumber=5, **PLACED)
    )
    plan, _, _ = read(samples, tmp_path, beam)
    assert "several range shifters are in the beam (RS 40mm, number 5)" in plan.beam(1).unsupported


@pytest.mark.parametrize(("meterset", "reason"), [(0.0, "0 MU"), (None, "BeamMeterset is missing")])
def test_a_beam_without_mu_is_unsupported(samples, tmp_path, meterset, reason):
    plan, _, _ = read(samples, tmp_path, meterset=meterset)
    assert reason in " ".join(plan.beam(1).unsupported)


def test_a_photon_plan_gets_its_answer_beam_by_beam(samples, tmp_path):
    photon = samples.item(
        BeamNumber=3,
        BeamName="x",
        RadiationType="PHOTON",
        ControlPointSequence=[
            samples.item(GantryAngle=180.0, PatientSupportAngle=0.0, IsocenterPosition=[0.0, 0.0, 0.0])
        ],
    )
    plan, _, _ = read(samples, tmp_path, photon, sop_class=samples.PLAN)
    assert "radiation is photon, not proton" in plan.beam(3).unsupported
    other = samples.plan(sop_class=samples.PLAN, BeamSequence=[photon], IonBeamSequence=None)
    plan = read_plan(samples.save(other, tmp_path / "photon" / "plan.dcm"))[0]
    assert plan.beam(3).unsupported[0] == "radiation is photon, not proton"
    assert plan.beam(3).gantry_deg == 180.0


def test_setup_beams_are_left_out_with_a_finding(samples, tmp_path):
    plan, _, findings = read(samples, tmp_path, samples.beam(1), samples.beam(2, TreatmentDeliveryType="SETUP"))
    assert [beam.number for beam in plan.beams] == [1]
    assert "PLAN-SETUP-BEAM" in codes(findings)
    with pytest.raises(DicomError, match="no treatment beam"):
        read(samples, tmp_path, samples.beam(2, TreatmentDeliveryType="SETUP"))


def test_several_isocentres_and_two_beams_of_one_number(samples, tmp_path):
    other = samples.beam(2, points=_points(samples, IsocenterPosition=[50.0, 0.0, 0.0]))
    assert "PLAN-ISOCENTRES" in codes(read(samples, tmp_path, samples.beam(1), other)[2])
    with pytest.raises(DicomError, match="same number"):
        read(samples, tmp_path, samples.beam(1), samples.beam(1))


@pytest.mark.parametrize("position", ["", "SITTING", None])
def test_a_plan_that_does_not_say_how_the_patient_lies_is_refused(samples, tmp_path, position):
    setup = samples.item(PatientSetupNumber=1, **({} if position is None else {"PatientPosition": position}))
    with pytest.raises(GeometryError, match="how the patient lies"):
        read(samples, tmp_path, PatientSetupSequence=[setup])


def test_a_position_given_by_the_user_is_recorded_and_never_overrides_the_plan(samples, tmp_path):
    path = samples.save(samples.plan(PatientSetupSequence=None), tmp_path / "p.dcm")
    plan, _, findings = read_plan(path, patient_position="FFP")
    assert plan.patient_position == "FFP"
    assert "PLAN-POSITION" in codes(findings)
    with pytest.raises(GeometryError):
        read_plan(path, patient_position="UPSIDE")
    path = samples.save(samples.plan(), tmp_path / "q.dcm")
    assert read_plan(path, patient_position="FFP")[0].patient_position == "HFS"


def test_a_beam_planned_in_another_position_is_unsupported(samples, tmp_path):
    setups = [
        samples.item(PatientSetupNumber=1, PatientPosition="HFS"),
        samples.item(PatientSetupNumber=2, PatientPosition="HFP"),
    ]
    beams = samples.beam(1), samples.beam(2, ReferencedPatientSetupNumber=2)
    plan, _, _ = read(samples, tmp_path, *beams, PatientSetupSequence=setups)
    assert plan.beam(1).unsupported == ()
    assert "lies HFP" in plan.beam(2).unsupported[0]


@pytest.mark.parametrize(
    ("status", "severity"), [("APPROVED", None), ("UNAPPROVED", "warning"), ("", "warning"), ("REJECTED", "critical")]
)
def test_a_plan_that_is_not_approved_is_a_finding(samples, tmp_path, status, severity):
    findings = read(samples, tmp_path, ApprovalStatus=status)[2]
    assert next((f.severity for f in findings if f.code == "PLAN-APPROVAL"), None) == severity


def test_two_plans_in_one_folder_need_a_choice(samples, tmp_path):
    samples.save(samples.plan(), tmp_path / "a.dcm")
    other = samples.plan([samples.beam(1), samples.beam(2)], SOPInstanceUID=samples.uid("other"))
    samples.save(other, tmp_path / "b.dcm")
    with pytest.raises(InputError, match="2 beams"):
        read_plan(tmp_path)
    assert len(read_plan(tmp_path, series=samples.uid("other"))[0].beams) == 2


def test_spots_and_weights_of_different_number_are_refused(samples, tmp_path):
    points = _points(samples, ScanSpotPositionMap=[0.0, 1.0, 2.0])
    with pytest.raises(DicomError, match="ScanSpotPositionMap"):
        read(samples, tmp_path, samples.beam(points=points))


@pytest.mark.parametrize("weights", [[-3.0, 7.0], [float("nan"), 1.0], [float("inf"), 1.0]])
def test_negative_or_endless_weights_are_refused(samples, tmp_path, weights):
    with pytest.raises(InputError):
        read(samples, tmp_path, samples.beam(points=_points(samples, ScanSpotMetersetWeights=weights)))


@settings(max_examples=25, deadline=None)
@given(
    weights=st.lists(st.lists(st.floats(0.0625, 10, width=32), min_size=1, max_size=5), min_size=1, max_size=6),
    meterset=st.floats(1, 500),
)
def test_the_mu_of_all_spots_add_up_to_the_beam_meterset(samples, tmp_path_factory, weights, meterset):
    cp, points, total = samples.control_point, [], 0.0
    for n, layer in enumerate(weights):
        first = {"GantryAngle": 0.0, "PatientSupportAngle": 0.0, "IsocenterPosition": [0.0, 0.0, 0.0]} if n == 0 else {}
        energy = 150.0 - n
        points.append(cp(2 * n, energy, layer, CumulativeMetersetWeight=f"{total:.8g}", **first))
        total += sum(layer)
        points.append(cp(2 * n + 1, energy, [0] * len(layer), CumulativeMetersetWeight=f"{total:.8g}"))
    beam = samples.beam(points=points, FinalCumulativeMetersetWeight=f"{total:.8g}")
    path = tmp_path_factory.mktemp("mu") / "plan.dcm"
    samples.save(samples.plan([beam], meterset=f"{meterset:.8g}"), path)
    read_beam = read_plan(path)[0].beam(1)
    assert read_beam.unsupported == ()
    assert read_beam.meterset_mu == pytest.approx(meterset, rel=1e-5)
    assert len(read_beam.layers) == len(weights)
