"""A range shifter: range, spread and energy behind it, from any side; what makes no sense is refused."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.errors import InputError, NotEvaluableError
from protonqa.geometry.frames import beam_frame
from protonqa.montecarlo.medium import medium_from_hu
from protonqa.montecarlo.range_shifter import known_shifter, thickness_mm
from protonqa.montecarlo.simulation import simulate
from protonqa.montecarlo.source import field_source, pencil_beam
from protonqa.physics.beam_models import generic_beam_model
from protonqa.physics.materials import material
from protonqa.physics.rsp import material_rsp
from protonqa.physics.stopping import csda_range_water_mm, energy_from_range_water_mev
from protonqa.values import Beam, BeamModel, EnergyLayer, Grid, RangeShifter, Volume
from tests.oracles.fermi_eyges import lateral_moments
from tests.oracles.slowing_down import Slab

STRAIGHT = np.array([0.0, 0.0, 1.0])


def shifter(wet_mm: float | None = 40.0, **changes: object) -> RangeShifter:
    values: dict[str, object] = {"name": "RS", "wet_mm": wet_mm, "distance_mm": 80.0, "material": "pmma"}
    return RangeShifter(**{**values, **changes})  # type: ignore[arg-type]


def narrow(medium, energy_mev, slab=None, *, direction=STRAIGHT):
    """A beam without width into the middle of the face z = 0."""
    return pencil_beam(
        medium.grid,
        position_mm=np.zeros(3),
        direction=direction,
        energy_mev=energy_mev,
        spot_sigma_mm=0.0,
        energy_spread_percent=0.0,
        range_shifter=slab,
    )


def at_range(result) -> float:
    found = result.range_mm()
    assert found is not None
    return found


@pytest.mark.parametrize(("name", "wet_mm"), [("pmma", 40.0), ("polyethylene", 70.0), ("water", 15.0)])
def test_the_range_is_shortened_by_the_water_equivalent_thickness(make_medium, name, wet_mm):
    """A slab of wrong density, thickness or stopping power moves the range; a beam is 120 mm deep without it."""
    medium = make_medium(size_mm=(100, 100, 140), spacing_mm=(4.0, 4.0, 2.0))
    slab = shifter(wet_mm, material=name)
    free, behind = (
        simulate(medium=medium, source=narrow(medium, 128.0, one), protons=60_000, seed=3, nuclear=False, threads=1)
        for one in (None, slab)
    )
    assert at_range(free) - at_range(behind) == pytest.approx(wet_mm, abs=0.1)


def test_a_slab_as_thick_as_stated_takes_that_much_range_at_every_energy():
    for name in ("pmma", "polyethylene", "polystyrene"):
        medium = material(name)
        for energy_mev in (90.0, 150.0, 230.0):
            thick = thickness_mm(medium, 50.0, energy_mev)
            assert thick * material_rsp(medium) == pytest.approx(50.0, abs=0.15)
    assert thickness_mm(material("water"), 50.0, 120.0) == pytest.approx(50.0, abs=1e-3)


def test_the_spot_behind_slab_and_air_gap_is_the_fermi_eyges_integral(make_medium):
    """Angles lost on the way out of the slab, a gap of another length, or a turned axis show in the spread."""
    medium = make_medium(size_mm=(120, 120, 110), spacing_mm=(1.0, 1.0, 2.0))
    slab = shifter(40.0, distance_mm=150.0)
    result = simulate(
        medium=medium, source=narrow(medium, 140.0, slab), protons=40_000, seed=5, nuclear=False, threads=1
    )
    plate = Slab(medium=material("pmma"), density_g_per_cm3=1.19, thickness_mm=thickness_mm(material("pmma"), 40, 140))
    gap = Slab(medium=material("air"), density_g_per_cm3=1e-9, thickness_mm=150.0)
    water = Slab(medium=material("water"), density_g_per_cm3=1.0, thickness_mm=110.0)
    moments = lateral_moments([plate, gap, water], 140.0)
    x = np.arange(120) - 59.5
    for depth_mm in (1.0, 41.0, 81.0):
        rows = result.dose_medium_gy[int(depth_mm // 2)].sum(axis=0, dtype=np.float64)
        columns = result.dose_medium_gy[int(depth_mm // 2)].sum(axis=1, dtype=np.float64)
        expected = float(moments.sigma_mm(plate.thickness_mm + 150.0 + depth_mm))
        for curve in (rows, columns):
            sigma = _core_sigma_mm(curve, x)
            assert np.sqrt(sigma**2 - 1.0 / 12.0) == pytest.approx(expected, rel=0.03), depth_mm


def _core_sigma_mm(curve, x) -> float:
    """SD of a Gaussian fitted within two SD: single large angles have their own tail."""
    sigma = float(np.sqrt((curve * x**2).sum() / curve.sum()))
    for _ in range(20):
        core = (np.abs(x) <= 2.0 * sigma) & (curve > 0)
        slope, _ = np.polyfit(x[core] ** 2, np.log(curve[core]), 1, w=np.sqrt(curve[core]))
        sigma = float(np.sqrt(-0.5 / slope))
    return sigma


def test_the_energy_left_in_the_shifter_is_booked(make_medium):
    medium = make_medium(size_mm=(120, 120, 140), spacing_mm=(4.0, 4.0, 4.0))
    protons = 20_000
    quiet = simulate(
        medium=medium, source=narrow(medium, 130.0, shifter()), protons=protons, seed=1, nuclear=False, threads=1
    )
    left = float(energy_from_range_water_mev(float(csda_range_water_mm(130.0)) - 40.0))
    assert quiet.energy_balance["range_shifter"] == pytest.approx(1.0 - left / 130.0, rel=0.005)
    assert sum(quiet.energy_balance.values()) == pytest.approx(1.0, abs=1e-5)
    whole = simulate(medium=medium, source=narrow(medium, 130.0, shifter()), protons=protons, seed=1, threads=1)
    assert sum(whole.energy_balance.values()) == pytest.approx(1.0, abs=1e-3 + 4 * 0.16 / np.sqrt(protons))
    assert whole.energy_balance["neutral"] > quiet.energy_balance["neutral"] == 0.0
    # The tallies begin behind the slab: depth curve and book say the same.
    deposited = whole.fine_idd_mev_per_mm.sum() * 0.25 / 130.0
    assert deposited == pytest.approx(whole.energy_balance["deposited"], abs=2e-4)
    assert "range_shifter" not in simulate(medium=medium, source=narrow(medium, 60.0), protons=10).energy_balance


def test_nuclei_and_protons_are_lost_in_the_shifter(make_medium):
    """Fewer primaries reach the patient: those that met a nucleus in the slab."""
    medium = make_medium(size_mm=(120, 120, 100), spacing_mm=(4.0, 4.0, 4.0))
    free = simulate(medium=medium, source=narrow(medium, 104.0), protons=20_000, seed=1, threads=1)
    behind = simulate(medium=medium, source=narrow(medium, 130.0, shifter()), protons=20_000, seed=1, threads=1)
    made = [run.nuclides_per_mm.sum() for run in (free, behind)]
    # 104 MeV is what 130 MeV protons have left behind 40 mm of water; some 4 % of them are gone.
    assert 0.90 < made[1] / made[0] < 0.985


def test_the_same_seed_gives_the_same_bits_for_any_number_of_threads(make_medium):
    medium = make_medium()
    runs = [
        simulate(medium=medium, source=narrow(medium, 100.0, shifter()), protons=5000, seed=2, threads=n)
        for n in (1, 3)
    ]
    assert np.array_equal(runs[0].dose_water_gy, runs[1].dose_water_gy)
    assert runs[0].energy_balance == runs[1].energy_balance


def test_a_slanted_beam_is_shortened_as_a_straight_one(make_medium):
    medium = make_medium(size_mm=(200, 120, 140), spacing_mm=(4.0, 4.0, 4.0))
    slanted = np.array([0.5, 0.2, 0.8])
    ranges = [
        at_range(
            simulate(
                medium=medium,
                source=narrow(medium, 120.0, one, direction=slanted),
                protons=40_000,
                seed=3,
                nuclear=False,
                threads=1,
            )
        )
        for one in (None, shifter(30.0, distance_mm=200.0))
    ]
    assert ranges[0] - ranges[1] == pytest.approx(30.0, abs=0.15)


def field(slab: RangeShifter | None, gantry_deg: float = 0.0, couch_deg: float = 0.0) -> Beam:
    spots = np.array([[-30.0, 10.0], [30.0, 10.0], [0.0, -20.0]])
    return Beam(
        number=1,
        name="field",
        gantry_deg=gantry_deg,
        couch_deg=couch_deg,
        isocenter_mm=(0.0, 0.0, 0.0),
        layers=(EnergyLayer(energy_mev=130.0, spot_xy_mm=spots, meterset_mu=np.ones(3)),),
        range_shifter=slab,
    )


@pytest.mark.parametrize("angles", [(0.0, 0.0), (270.0, 0.0), (37.0, 25.0)])
def test_every_spot_of_a_field_passes_the_shifter_from_any_side(angles):
    """A slab on the wrong side, turned or too small lets spots pass: the integrated depth dose gets a second peak."""
    grid = Grid(shape=(60, 60, 60), spacing_mm=(5.0, 5.0, 5.0), origin_mm=(-147.5, -147.5, -147.5))
    at = grid.world_from_index(np.stack(np.meshgrid(*(np.arange(60),) * 3, indexing="ij"), axis=-1)[..., ::-1])
    frame = beam_frame("HFS", *angles, np.zeros(3))
    # Water downstream of the isocentre plane, air before it.
    hu = np.where(at @ frame.direction > 0.0, 0.0, -1000.0)
    medium = medium_from_hu(Volume(grid=grid, array=hu, unit="HU"))
    depths = []
    for slab in (None, shifter(50.0)):
        source = field_source(grid, field(slab, *angles), frame, generic_beam_model())
        result = simulate(medium=medium, source=source, protons=8000, seed=1, nuclear=False, threads=1)
        depths.append(at_range(result))
        beyond = result.idd_mev_per_mm[result.depth_mm > depths[-1] + 12.0].sum()
        assert beyond < 2e-3 * result.idd_mev_per_mm.sum()
    assert depths[0] - depths[1] == pytest.approx(50.0 / 1.024, abs=0.5)


def test_a_thickness_the_plan_leaves_out_is_the_beam_models():
    model = BeamModel(
        **{name: getattr(generic_beam_model(), name) for name in BeamModel.__slots__}
        | {"range_shifter_wet_mm": (("RS", 41.0),)}
    )
    known, findings = known_shifter(shifter(None, material=""), model)
    assert (known.wet_mm, known.material, findings) == (41.0, "pmma", ())
    known, findings = known_shifter(shifter(40.0), model)
    assert known.wet_mm == 40.0
    assert [one.code for one in findings] == ["RANGE-SHIFTER-WET"]
    assert known_shifter(shifter(40.8), model)[1] == ()
    with pytest.raises(NotEvaluableError, match="thickness of the range shifter is not known"):
        known_shifter(shifter(None, name="other"), model)


def test_a_shifter_that_stops_the_beam_or_stands_in_the_patient_is_refused(make_medium):
    medium = make_medium()
    with pytest.raises(InputError, match="stops in the range shifter"):
        narrow(medium, 70.0, shifter(41.0))
    with pytest.raises(InputError, match="unknown material"):
        narrow(medium, 150.0, shifter(material="unobtainium"))
    inside = narrow(medium, 150.0, shifter(distance_mm=-30.0))
    with pytest.raises(InputError, match="inside the patient or the couch"):
        simulate(medium=medium, source=inside, protons=10)


def test_a_beam_that_passes_by_behind_its_shifter_is_refused(make_medium):
    medium = make_medium()
    aside = pencil_beam(
        medium.grid,
        position_mm=np.array([900.0, 0.0, 0.0]),
        direction=STRAIGHT,
        energy_mev=150.0,
        spot_sigma_mm=1.0,
        energy_spread_percent=0.0,
        range_shifter=shifter(),
    )
    with pytest.raises(InputError, match="misses"):
        simulate(medium=medium, source=aside, protons=300, nuclear=False)
