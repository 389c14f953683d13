"""The field maker: flat dose over the target, right energies behind what the beam meets, plain refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protonqa.dicom import read_ct
from protonqa.errors import CalibrationError, GeometryError, InputError
from protonqa.geometry.frames import beam_frame
from protonqa.phantom.field_maker import FieldDesign, FieldSettings, design_field, make_field
from protonqa.phantom.layers import layer_ranges_mm, layer_stack, nominal_energy_mev, sobp_weights
from protonqa.phantom.pencil_beam import rsp_volume, superposed_dose_gy
from protonqa.phantom.spots import cell_area_cm2, hexagonal_spots_mm
from protonqa.physics.beam_models import generic_beam_model
from protonqa.physics.rsp import rsp_from_hu
from protonqa.physics.stopping import csda_range_water_mm
from protonqa.values import Beam, BeamModel, Grid, Hlut, Volume

#: RSP = 1 + HU / 1000: water is HU 0 exactly, and a slab's water equivalent is known in the head.
LINEAR = Hlut(hu=[-1000.0, 3000.0], rsp=[0.0, 4.0])
DEPTH_MM, RADIUS_MM = 110.0, 25.0
#: Margins that do not follow the depth, so that two fields have the same rays.
FIXED = FieldSettings(lateral_margin_mm=9.0, distal_margin_mm=4.0)


def box_ct(size_mm: tuple[int, int, int] = (140, 200, 140), air_mm: int = 20, spacing_mm: float = 2.0) -> Volume:
    """A water box (x, y, z) in air; its front face is y = 0 and the axis is x = z = 0."""
    inner = [round(s / spacing_mm) for s in size_mm]
    air = round(air_mm / spacing_mm)
    shape = tuple(n + 2 * air for n in inner)[::-1]
    hu = np.full(shape, -1000.0, dtype=np.float32)
    hu[air : shape[0] - air, air : shape[1] - air, air : shape[2] - air] = 0.0
    half = 0.5 * spacing_mm
    origin = (half - size_mm[0] / 2 - air_mm, half - air_mm, half - size_mm[2] / 2 - air_mm)
    return Volume(grid=Grid(shape=shape, spacing_mm=(spacing_mm,) * 3, origin_mm=origin), array=hu, unit="HU")


def painted(ct: Volume, hu: float, low_mm: tuple[float, float, float], high_mm: tuple[float, float, float]) -> Volume:
    """The CT with a box of another HU between two LPS corners."""
    low = np.ceil(ct.grid.index_from_world(low_mm) - 1e-6).astype(int)
    high = np.floor(ct.grid.index_from_world(high_mm) + 1e-6).astype(int) + 1
    array = ct.array.copy()
    array[low[2] : high[2], low[1] : high[1], low[0] : high[0]] = hu
    return ct.with_array(array)


def design(ct: Volume, **changes: object) -> FieldDesign:
    """A field from the front (HFS, gantry 0: along +y) into the box."""
    arguments: dict[str, object] = {
        "patient_position": "HFS",
        "target_center_mm": (0.0, DEPTH_MM, 0.0),
        "target_radius_mm": RADIUS_MM,
        "gantry_deg": 0.0,
        "hlut": LINEAR,
    }
    return design_field(ct, **(arguments | changes))  # type: ignore[arg-type]


def axis_dose(field: FieldDesign, way_mm: np.ndarray, x_mm: float = 0.0) -> np.ndarray:
    points = np.stack([np.full_like(way_mm, x_mm), np.zeros_like(way_mm), way_mm], axis=1)
    return superposed_dose_gy(field.depths, field.stack, field.protons, points)


def all_spots(beam: Beam) -> np.ndarray:
    """(n, 4): energy, x, y, MU."""
    return np.concatenate(
        [np.column_stack([np.full(s.meterset_mu.size, s.energy_mev), s.spot_xy_mm, s.meterset_mu]) for s in beam.layers]
    )


@pytest.fixture(scope="module")
def water() -> Volume:
    return box_ct()


@pytest.fixture(scope="module")
def field(water: Volume) -> FieldDesign:
    return design(water)


def test_dose_is_flat_over_the_target_on_the_axis_and_has_the_wanted_height(field: FieldDesign) -> None:
    dose = axis_dose(field, np.arange(-RADIUS_MM, RADIUS_MM + 0.1, 0.5))
    assert dose == pytest.approx(np.full(dose.size, 2.0), rel=0.03)
    assert field.dose_center_gy == pytest.approx(2.0, rel=1e-9)


def test_distal_80_percent_lies_one_margin_behind_the_target(field: FieldDesign) -> None:
    way = np.arange(0.0, 60.0, 0.1)
    dose = axis_dose(field, way)
    r80 = float(way[np.flatnonzero(dose >= 0.8 * 2.0)[-1]])
    assert field.margins.distal_mm >= 3.0
    assert r80 == pytest.approx(RADIUS_MM + field.margins.distal_mm, abs=0.5)
    assert axis_dose(field, np.array([r80 + 15.0]))[0] < 0.02


def test_target_rim_gets_about_95_percent_and_spots_reach_a_margin_beyond_it(field: FieldDesign) -> None:
    rim = [axis_dose(field, np.zeros(1), x_mm=x)[0] for x in (-RADIUS_MM, RADIUS_MM)]
    assert min(rim) > 0.93 * 2.0
    spots = all_spots(field.plan.beams[0])
    reach = np.hypot(spots[:, 1], spots[:, 2]).max()
    assert RADIUS_MM + field.margins.lateral_mm - 5.0 < reach <= RADIUS_MM + field.margins.lateral_mm + 1e-6
    assert np.abs(axis_dose(field, np.zeros(1), x_mm=RADIUS_MM + 40.0)[0]) < 0.02


def test_symmetric_target_and_anatomy_give_symmetric_weights(field: FieldDesign) -> None:
    spots = {(e, round(x, 6) + 0.0, round(y, 6) + 0.0): mu for e, x, y, mu in all_spots(field.plan.beams[0])}
    for (energy, x, y), mu in spots.items():
        assert spots[energy, -x + 0.0, y] == pytest.approx(mu, rel=1e-6)
        assert spots[energy, x, -y + 0.0] == pytest.approx(mu, rel=1e-6)


def test_plan_is_one_scanned_beam_with_falling_energies_and_usable_spots(field: FieldDesign) -> None:
    (beam,) = field.plan.beams
    energies = [layer.energy_mev for layer in beam.layers]
    assert energies == sorted(energies, reverse=True)
    assert len(set(energies)) == len(energies)
    assert min(layer.meterset_mu.min() for layer in beam.layers) >= FieldSettings().min_spot_mu
    assert beam.isocenter_mm == (0.0, DEPTH_MM, 0.0)
    assert beam.virtual_sad_mm == (2000.0, 2000.0)
    assert field.plan.patient_position == "HFS"
    sigma_mm = generic_beam_model().at(energies[0])["sigma_x_mm"]
    assert beam.layers[0].spot_fwhm_mm == pytest.approx((2.3548 * sigma_mm, 2.3548 * sigma_mm), rel=1e-4)


def test_metersets_times_protons_per_mu_are_the_protons_of_the_estimate(field: FieldDesign) -> None:
    model = generic_beam_model()
    (beam,) = field.plan.beams
    protons = sum(model.at(s.energy_mev)["protons_per_mu"] * s.meterset_mu.sum() for s in beam.layers)
    assert protons == pytest.approx(field.protons.sum(), rel=1e-9)
    # Energy balance: 2 Gy to the water between entrance and distal edge is of the order of N E.
    joule = protons * 110.0 * 1.602e-13
    kilogram = np.pi * 0.03**2 * 0.135 * 1000
    assert 0.5 < joule / kilogram / 2.0 < 2.0


def test_meterset_is_proportional_to_dose(water: Volume, field: FieldDesign) -> None:
    double = design(water, dose_gy=4.0, settings=FieldSettings(min_spot_mu=0.006))
    assert double.plan.beams[0].meterset_mu == pytest.approx(2.0 * field.plan.beams[0].meterset_mu, rel=1e-9)


def test_same_input_gives_the_same_plan_to_the_last_bit(water: Volume, field: FieldDesign) -> None:
    arguments = {"target_center_mm": (0.0, DEPTH_MM, 0.0), "target_radius_mm": RADIUS_MM, "gantry_deg": 0.0}
    again = make_field(water, patient_position="HFS", hlut=LINEAR, **arguments)  # type: ignore[arg-type]
    assert np.array_equal(all_spots(again.beams[0]), all_spots(field.plan.beams[0]))


def deepest_range_mm(field: FieldDesign) -> float:
    return float(csda_range_water_mm(field.plan.beams[0].layers[0].energy_mev))


def test_a_bone_slab_upstream_raises_every_range_by_its_extra_water(water: Volume) -> None:
    # 20 mm of RSP 1.8 instead of 1: 16 mm more water.
    field = design(water, settings=FIXED)
    slab = design(painted(water, 800.0, (-60.0, 20.0, -60.0), (60.0, 40.0, 60.0)), settings=FIXED)
    for name in ("target_proximal_mm", "target_distal_mm"):
        gained = getattr(slab.intervals, name) - getattr(field.intervals, name)
        assert gained == pytest.approx(np.full(gained.size, 16.0), abs=0.05)
    assert deepest_range_mm(slab) - deepest_range_mm(field) == pytest.approx(16.0, abs=0.2)


def test_half_a_slab_raises_only_the_rays_behind_it(water: Volume) -> None:
    half = design(painted(water, 800.0, (0.0, 20.0, -60.0), (60.0, 40.0, 60.0)))
    x = half.depths.rays.lateral_mm[:, 0]
    near_axis = np.abs(half.depths.rays.lateral_mm[:, 1]) < 1.0
    behind = half.intervals.distal_mm[near_axis & (x > 4)] - half.intervals.distal_mm[near_axis & (x < -4)][::-1]
    assert behind == pytest.approx(np.full(behind.size, 16.0), abs=0.1)


def test_a_table_before_the_body_counts_and_is_named(water: Volume) -> None:
    field = design(water, settings=FIXED)
    table = design(painted(water, 0.0, (-85.0, -16.0, -60.0), (85.0, -12.0, 60.0)), settings=FIXED)
    gained = table.intervals.target_distal_mm - field.intervals.target_distal_mm
    assert gained == pytest.approx(np.full(gained.size, 4.0), abs=0.05)
    assert "FIELD-UPSTREAM-MATERIAL" in {f.code for f in table.findings}
    assert "FIELD-UPSTREAM-MATERIAL" not in {f.code for f in field.findings}


@pytest.mark.parametrize(("first", "second"), [(("HFS", 270.0), ("FFS", 90.0)), (("HFS", 90.0), ("HFP", 270.0))])
def test_the_same_beam_in_the_patient_is_the_same_field(first: tuple[str, float], second: tuple[str, float]) -> None:
    # An anatomy without any symmetry; both pairs come from the same side of it.
    ct = painted(box_ct((200, 140, 140)), 600.0, (-90.0, 60.0, 5.0), (90.0, 75.0, 40.0))
    found = []
    for position, gantry_deg in (first, second):
        center = (0.0, 70.0, 0.0)
        made = design(ct, patient_position=position, gantry_deg=gantry_deg, target_center_mm=center)
        frame = beam_frame(position, gantry_deg, 0.0, center)
        spots = all_spots(made.plan.beams[0])
        where = np.round(frame.lps_from_bev(spots[:, 1:3]), 6) + 0.0
        order = np.lexsort((where[:, 2], where[:, 1], spots[:, 0]))
        found.append(np.column_stack([spots[:, 0], where, spots[:, 3]])[order])
        assert made.plan.patient_position == position
    assert found[0].shape == found[1].shape
    assert found[0] == pytest.approx(found[1], rel=1e-6, abs=1e-6)


def test_beam_from_the_patients_right_enters_at_low_x() -> None:
    ct = painted(box_ct((200, 140, 140)), 800.0, (-90.0, 5.0, -60.0), (-70.0, 135.0, 60.0))
    right = design(ct, gantry_deg=270.0, target_center_mm=(0.0, 70.0, 0.0), settings=FIXED)
    left = design(ct, gantry_deg=90.0, target_center_mm=(0.0, 70.0, 0.0), settings=FIXED)
    gained = right.intervals.target_distal_mm - left.intervals.target_distal_mm
    assert gained.mean() == pytest.approx(16.0, abs=0.1)


def test_couch_turns_the_field(water: Volume) -> None:
    turned = design(water, couch_deg=30.0, gantry_deg=20.0)
    beam = turned.plan.beams[0]
    assert (beam.gantry_deg, beam.couch_deg) == (20.0, 30.0)
    assert turned.intervals.target_distal_mm.max() > DEPTH_MM + RADIUS_MM + 5.0


def test_faint_spots_are_dropped_and_the_dose_at_the_centre_kept(water: Volume, field: FieldDesign) -> None:
    strict = design(water, settings=FieldSettings(min_spot_mu=0.05))
    mu, before = all_spots(strict.plan.beams[0])[:, 3], all_spots(field.plan.beams[0])[:, 3]
    assert mu.size < before.size
    assert mu.min() >= 0.05
    assert strict.dose_center_gy == pytest.approx(2.0, rel=1e-9)


def test_settings_are_followed(water: Volume) -> None:
    chosen = FieldSettings(
        spot_spacing_mm=7.0, layer_step_mm=4.0, lateral_margin_mm=3.0, proximal_margin_mm=1.0, distal_margin_mm=6.0
    )
    made = design(water, settings=chosen)
    spots = all_spots(made.plan.beams[0])
    assert np.diff(np.unique(spots[np.abs(spots[:, 2]) < 1e-9, 1])) == pytest.approx(7.0)
    assert np.hypot(spots[:, 1], spots[:, 2]).max() <= RADIUS_MM + 3.0 + 1e-6
    assert -np.diff(made.stack.range_mm) == pytest.approx(np.full(made.stack.n_layer - 1, 4.0), abs=0.05)
    assert made.intervals.distal_mm - made.intervals.target_distal_mm == pytest.approx(6.0)
    assert made.margins == replace(made.margins, lateral_mm=3.0, proximal_mm=1.0, distal_mm=6.0)


def test_a_target_of_a_millimetre_still_gets_a_field(water: Volume) -> None:
    tiny = design(water, target_radius_mm=1.0)
    assert tiny.dose_center_gy == pytest.approx(2.0, rel=1e-9)
    assert len(tiny.plan.beams[0].layers) < 12


def test_generic_calibrations_are_findings_and_own_ones_are_none(water: Volume) -> None:
    model = replace(generic_beam_model(), generic=False)
    own = design(water, beam_model=model)
    assert own.findings == ()
    codes = {f.code for f in design(water, hlut=None).findings}
    assert codes == {"BEAM-MODEL-GENERIC", "HLUT-GENERIC"}


def test_nominal_energies_come_from_the_machines_mean_energies(water: Volume, field: FieldDesign) -> None:
    generic = generic_beam_model()
    model = replace(generic, mean_mev=generic.nominal_mev + 1.0, generic=False)
    shifted = design(water, beam_model=model)
    first, same = shifted.plan.beams[0].layers[0].energy_mev, field.plan.beams[0].layers[0].energy_mev
    assert same - first == pytest.approx(1.0, abs=0.03)


def test_a_body_cut_by_the_edge_of_the_ct_is_a_finding() -> None:
    whole = box_ct((140, 200, 140), air_mm=0)
    made = design(whole, body=np.ones(whole.grid.shape, dtype=bool))
    assert "FIELD-ENTRY-CUT" in {f.code for f in made.findings}


def test_a_proximal_margin_before_the_lowest_energy_is_cut_with_a_finding(water: Volume) -> None:
    # 70 MeV reaches 40.8 mm; the target begins at 42 mm, its margin at 37 mm.
    made = design(water, target_center_mm=(0.0, 54.0, 0.0), target_radius_mm=12.0,
                  settings=FieldSettings(proximal_margin_mm=5.0))  # fmt: skip
    assert "FIELD-PROXIMAL-CUT" in {f.code for f in made.findings}
    assert made.stack.nominal_mev.min() == 70.0
    dose = axis_dose(made, np.arange(-11.0, 12.0, 1.0))
    assert dose == pytest.approx(np.full(dose.size, 2.0), rel=0.03)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"target_radius_mm": 0.0}, InputError, "target radius is not positive"),
        ({"target_radius_mm": float("nan")}, InputError, "target radius is not positive"),
        ({"target_center_mm": (0.0, float("inf"), 0.0)}, InputError, "not finite"),
        ({"target_center_mm": (0.0, 0.0)}, GeometryError, "wrong shape"),
        ({"target_center_mm": (0.0, 400.0, 0.0)}, GeometryError, "outside the CT, got 20[0-9.]+ mm beyond"),
        ({"target_center_mm": (0.0, 5.0, 0.0), "target_radius_mm": 20.0}, GeometryError, "not inside the body"),
        ({"target_center_mm": (0.0, 30.0, 0.0)}, InputError, "shallower than the lowest energy.*another gantry"),
        ({"dose_gy": 0.0}, InputError, "dose is not positive"),
        ({"dose_gy": float("nan")}, InputError, "dose is not positive"),
        ({"dose_gy": 1e-3}, InputError, "too small for the least monitor units.*raise the dose"),
        ({"gantry_deg": float("nan")}, GeometryError, "angle is not a number"),
        ({"patient_position": "SITTING"}, GeometryError, "patient position"),
        ({"body": np.ones((2, 2, 2), dtype=bool)}, GeometryError, "body mask is not on the grid"),
    ],
)
def test_what_cannot_be_planned_is_refused_with_the_reason(
    water: Volume, changes: dict[str, object], kind: type[InputError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        design(water, **changes)


def test_a_target_in_air_inside_the_body_is_refused(water: Volume) -> None:
    cavity = painted(water, -1000.0, (-30.0, 80.0, -30.0), (30.0, 140.0, 30.0))
    with pytest.raises(GeometryError, match="target lies in air"):
        design(cavity)


def test_a_target_beyond_the_highest_energy_is_refused_with_its_depth() -> None:
    deep = box_ct((100, 420, 100), spacing_mm=4.0)
    with pytest.raises(InputError, match=r"deeper than the highest energy, got 3[3-9][0-9.]+ mm"):
        design(deep, target_center_mm=(0.0, 320.0, 0.0), target_radius_mm=15.0)


def test_only_a_ct_in_hounsfield_units_is_taken(water: Volume) -> None:
    with pytest.raises(InputError, match="not in Hounsfield units"):
        design(water.with_array(water.array, unit="RSP"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"spot_spacing_mm": 0.0},
        {"layer_step_mm": -1.0},
        {"lateral_margin_mm": float("nan")},
        {"proximal_margin_mm": -1.0},
        {"distal_margin_mm": 500.0},
        {"min_spot_mu": -1.0},
    ],
)
def test_settings_out_of_range_are_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        FieldSettings(**wrong)  # type: ignore[arg-type]


@settings(max_examples=30, deadline=None)
@given(proximal_mm=st.floats(45.0, 250.0), length_mm=st.floats(5.0, 70.0), reserve_mm=st.floats(0.0, 12.0))
def test_any_interval_gets_a_plateau_within_3_percent_and_its_edge_in_place(
    proximal_mm: float, length_mm: float, reserve_mm: float
) -> None:
    # The layers belong to a deeper ray: the edge falls anywhere between two of them.
    distal_mm = proximal_mm + length_mm
    model = generic_beam_model()
    stack = layer_stack(layer_ranges_mm(distal_mm + reserve_mm, proximal_mm, model), model)
    weights = sobp_weights(stack, proximal_mm, distal_mm)
    assert (weights >= 0).all()
    dose = weights @ stack.dose
    sigma_mm = float(np.interp(distal_mm, stack.range_mm[::-1], stack.range_sigma_mm[::-1]))
    plateau = (stack.depth_mm >= proximal_mm) & (stack.depth_mm <= distal_mm - 1.5 * sigma_mm)
    assert (np.abs(dose[plateau] - 1.0) < 0.03).all()
    assert stack.depth_mm[np.flatnonzero(dose >= 0.8)[-1]] == pytest.approx(distal_mm, abs=0.5)


def test_an_interval_thinner_than_the_layer_distance_gets_the_nearest_layer() -> None:
    stack = layer_stack([103.0], generic_beam_model())
    weights = sobp_weights(stack, 99.0, 100.0)
    assert np.interp(100.0, stack.depth_mm, weights @ stack.dose) == pytest.approx(0.8, abs=0.1)


@settings(max_examples=30, deadline=None)
@given(radius_mm=st.floats(0.5, 40.0), spacing_mm=st.floats(2.5, 10.0))
def test_lattice_is_symmetric_even_and_inside_its_circle(radius_mm: float, spacing_mm: float) -> None:
    spots = hexagonal_spots_mm(radius_mm, spacing_mm)
    assert np.hypot(*spots.T).max() <= radius_mm + 1e-6
    known = {(round(x, 6) + 0.0, round(y, 6) + 0.0) for x, y in spots}
    assert len(known) == len(spots)
    assert known == {(-x + 0.0, y) for x, y in known} == {(x, -y + 0.0) for x, y in known}
    assert (0.0, 0.0) in known
    gaps = np.linalg.norm(spots[:, None] - spots[None], axis=-1) + 1e9 * np.eye(len(spots))
    if len(spots) > 6:
        assert gaps.min() == pytest.approx(spacing_mm)
    # As many spots as cells of their area fit into the circle, but for the rim.
    rim = 2 * np.pi * radius_mm * spacing_mm / 100.0 + cell_area_cm2(spacing_mm)
    assert abs(len(spots) * cell_area_cm2(spacing_mm) - np.pi * radius_mm**2 / 100.0) <= rim


def test_nominal_energy_is_held_at_the_machines_limits() -> None:
    model = generic_beam_model()
    assert nominal_energy_mev(1.0, model) == 70.0
    assert nominal_energy_mev(1000.0, model) == 230.0
    assert nominal_energy_mev(float(csda_range_water_mm(123.4)), model) == pytest.approx(123.4, abs=0.005)


def test_a_model_whose_mean_energies_fall_is_refused() -> None:
    generic = generic_beam_model()
    folded: BeamModel = replace(generic, mean_mev=generic.mean_mev[::-1].copy())
    with pytest.raises(CalibrationError, match="mean energies do not increase"):
        layer_ranges_mm(100.0, 80.0, folded)


@pytest.mark.parametrize("step_mm", [0.0, float("nan")])
def test_a_layer_step_that_is_no_length_is_refused(step_mm: float) -> None:
    with pytest.raises(InputError, match="energy layers"):
        layer_ranges_mm(100.0, 80.0, generic_beam_model(), step_mm=step_mm)


@pytest.mark.parametrize("hlut", [None, LINEAR])
@pytest.mark.parametrize("fraction", [0.0, 0.25])
def test_table_of_whole_ct_numbers_gives_the_same_rsp(hlut: Hlut | None, fraction: float) -> None:
    hu = np.random.default_rng(1).integers(-3024, 3071, (3, 4, 5)).astype(np.float32) + fraction
    grid = Grid(shape=(3, 4, 5), spacing_mm=(1, 1, 1), origin_mm=(0, 0, 0))
    rsp = rsp_volume(Volume(grid=grid, array=hu, unit="HU"), hlut)
    assert rsp.unit == "RSP"
    assert np.array_equal(rsp.array, rsp_from_hu(hu, hlut).astype(np.float32))


def test_real_abdomen_lying_feet_first_gets_a_lateral_field_at_the_liver(reference_data: Path) -> None:
    # The patient's right is low x; feet first supine, so gantry 90 enters there.
    ct, info, _ = read_ct(reference_data / "ct_case" / "CRLM-CT-1006_CT.zip")
    center = (-55.0, 38.0, -211.0)
    made = design_field(
        ct,
        patient_position=info.patient_position,
        target_center_mm=center,
        target_radius_mm=20.0,
        gantry_deg=90.0,
        frame_of_reference_uid=info.frame_of_reference_uid,
    )
    (beam,) = made.plan.beams
    assert made.depths.rays.frame.direction == pytest.approx([1.0, 0.0, 0.0])
    assert (made.depths.rays.start_mm[:, 0] < center[0] - 40.0).all()
    assert made.plan.frame_of_reference_uid == info.frame_of_reference_uid
    assert 70.0 <= beam.layers[-1].energy_mev < beam.layers[0].energy_mev < 160.0
    # Soft tissue: water-equivalent and geometric depth of the centre differ by a few per cent.
    middle = 0.5 * (made.intervals.target_proximal_mm + made.intervals.target_distal_mm).mean()
    assert middle == pytest.approx(-made.depths.rays.entry_mm.mean(), rel=0.08)
    dose = axis_dose(made, np.arange(-20.0, 20.1, 1.0))
    assert dose == pytest.approx(np.full(dose.size, 2.0), rel=0.05)
