"""The Monte Carlo as an analysis: where beams enter, what comes out, and acceptance checks that can fail."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.analyses.montecarlo import MonteCarlo
from protonqa.analyses.montecarlo.beams import (
    PencilBeam,
    body_center_mm,
    field_into_patient,
    into_face,
    into_patient,
    planned_beam,
)
from protonqa.analyses.montecarlo.expected import block, gaussian_core_sigma_mm, slowing_down_yields
from protonqa.analyses.montecarlo.outputs import depth_profile, facts, r80_sd_mm
from protonqa.analyses.montecarlo.where import device_findings, transport_device
from protonqa.analyses.runner import run_analysis
from protonqa.device import CPU, Device
from protonqa.errors import DeviceError, GeometryError, InputError, NotEvaluableError
from protonqa.geometry.corridor import corridor
from protonqa.geometry.frames import beam_frame
from protonqa.montecarlo.medium import medium_from_hu
from protonqa.montecarlo.simulation import simulate
from protonqa.physics.beam_models import generic_beam_model
from protonqa.physics.emission import CHANNEL_NAMES, cross_section_set
from protonqa.physics.materials import material
from protonqa.physics.nuclides import NUCLIDE_KEYS
from protonqa.physics.stopping import csda_range_water_mm
from protonqa.values import Beam, BeamModel, Case, EnergyLayer, Grid, IonPlan, SeriesInfo, State, Volume

GANTRIES = {0.0: (0, -1, 0), 90.0: (1, 0, 0), 180.0: (0, 1, 0), 270.0: (-1, 0, 0)}


@pytest.fixture(scope="module")
def patient() -> Volume:
    """A block of 0 HU, 60 x 80 x 48 mm, off the middle of the air around it; its middle is at (6, -4, 8)."""
    grid = Grid(shape=(20, 40, 40), spacing_mm=(3.0, 4.0, 4.0), origin_mm=(-58.5, -78.0, -38.0))
    z, y, x = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    at = grid.world_from_index(np.stack([x, y, z], axis=-1))
    inside = np.all(np.abs(at - np.array([6.0, -4.0, 8.0])) < np.array([30.0, 40.0, 24.0]), axis=-1)
    return Volume(grid=grid, array=np.where(inside, 0.0, -1000.0), unit="HU")


def field(**changes: object) -> Beam:
    spots = np.array([[-4.0, 0.0], [4.0, 0.0]])
    layer = EnergyLayer(energy_mev=80.0, spot_xy_mm=spots, meterset_mu=np.ones(2))
    values: dict[str, object] = {
        "number": 2,
        "name": "side",
        "gantry_deg": 270.0,
        "couch_deg": 0.0,
        "isocenter_mm": (6.0, -4.0, 8.0),
        "layers": (layer,),
    }
    return Beam(**{**values, **changes})  # type: ignore[arg-type]


def ranges(ct: Volume, aimed: object, protons: int = 600) -> float:
    result = simulate(
        medium=medium_from_hu(ct),
        source=aimed.source,
        protons=protons,
        seed=1,
        box=aimed.box,
        threads=1,  # type: ignore[attr-defined]
    )
    found = result.range_mm()
    assert found is not None
    return found


def test_depth_0_of_a_patient_is_the_skin_from_every_side(patient):
    """Counting from the edge of the image or from the isocentre would move every range by the air in between."""
    beam = PencilBeam(energy_mev=60.0, spot_sigma_mm=1.0)
    expected_mm = float(csda_range_water_mm(60.0)) / 1.024  # HU 0 has RSP 1.024
    for gantry, side in GANTRIES.items():
        aimed = into_patient(patient, beam, patient_position="HFS", gantry_deg=gantry)
        skin = np.array([6.0, -4.0, 8.0]) + np.array(side) * np.array([30.0, 40.0, 24.0])
        assert aimed.depth_zero_mm == pytest.approx(skin, abs=1e-6)
        assert ranges(patient, aimed) == pytest.approx(expected_mm, abs=0.25)


def test_the_isocentre_of_a_pencil_beam_is_the_middle_of_the_body(patient):
    from protonqa.geometry.body import body_mask

    assert body_center_mm(body_mask(patient), patient.grid) == pytest.approx([6.0, -4.0, 8.0], abs=1e-6)
    moved = into_patient(
        patient, PencilBeam(energy_mev=60.0), patient_position="HFS", isocenter_mm=(0.0, 0.0, 0.0), gantry_deg=0.0
    )
    assert moved.depth_zero_mm == pytest.approx([0.0, -44.0, 0.0], abs=1e-6)


def test_the_profile_of_a_patient_begins_at_the_skin(patient):
    aimed = into_patient(patient, PencilBeam(energy_mev=60.0), patient_position="HFS", gantry_deg=90.0)
    result = simulate(medium=medium_from_hu(patient), source=aimed.source, protons=200, box=aimed.box, threads=1)
    assert result.depth_mm[0] < 0
    profile = depth_profile(result)
    assert profile.depth_mm[:3] == pytest.approx([0.5, 1.5, 2.5])
    assert profile.hu[:60] == pytest.approx(np.zeros(60))
    assert profile.hu[60] == pytest.approx(-1000.0)


def test_a_beam_that_passes_by_is_refused(patient):
    beam = PencilBeam(energy_mev=60.0)
    for isocenter in ((0.0, 90.0, 0.0), (0.0, 500.0, 0.0)):
        with pytest.raises(GeometryError, match="misses the body"):
            into_patient(patient, beam, patient_position="HFS", isocenter_mm=isocenter, gantry_deg=90.0)
    with pytest.raises(GeometryError, match="patient position"):
        into_patient(patient, beam, patient_position="")


def test_the_corridor_holds_the_beam_and_leaves_out_the_rest(patient):
    frame = beam_frame("HFS", 270.0, 0.0, (6.0, -4.0, 8.0))
    narrow = corridor(patient.grid, frame, np.zeros((1, 2)))
    # Whole along the beam; 40 mm to both sides of it (and up to a step more) across, as far as there are voxels.
    low = narrow.world_from_index((-0.5, -0.5, -0.5))
    high = narrow.world_from_index(np.array(narrow.shape[::-1]) - 0.5)
    assert (low[0], high[0]) == pytest.approx((-60.0, 60.0))
    assert low[1] == pytest.approx(-50.0, abs=5.1)
    assert high[1] == pytest.approx(42.0, abs=5.1)
    with pytest.raises(GeometryError, match="misses the CT"):
        corridor(patient.grid, beam_frame("HFS", 270.0, 0.0, (0.0, 900.0, 0.0)), np.zeros((1, 2)))


def test_a_volume_is_entered_along_its_own_z(patient):
    """A grid that lies on its side: the beam follows its third index, not the world's z."""
    lying = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    grid = Grid(shape=(30, 10, 10), spacing_mm=(4.0, 4.0, 2.0), origin_mm=(5.0, 6.0, 7.0), direction=lying)
    aimed = into_face(grid, PencilBeam(energy_mev=60.0))
    assert aimed.depth_zero_mm == pytest.approx([4.0, 24.0, 25.0])
    assert aimed.frame.direction == pytest.approx([1.0, 0.0, 0.0])
    ct = Volume(grid=grid, array=np.zeros(grid.shape), unit="HU")
    assert ranges(ct, aimed) == pytest.approx(float(csda_range_water_mm(60.0)) / 1.024, abs=0.25)


def test_a_field_is_counted_from_the_skin_on_its_axis(patient):
    plan = IonPlan(patient_position="HFS", beams=(field(),))
    aimed = field_into_patient(patient, plan, planned_beam(plan, None), generic_beam_model())
    assert aimed.depth_zero_mm == pytest.approx([-24.0, -4.0, 8.0], abs=1e-6)
    assert ranges(patient, aimed) == pytest.approx(float(csda_range_water_mm(80.0)) / 1.024, abs=0.5)
    assert aimed.source.protons > 0
    assert [one.code for one in aimed.findings] == ["SIM-FIELD-CURVES"]


def test_a_beam_is_named_where_there_are_several(patient):
    plan = IonPlan(patient_position="HFS", beams=(field(), field(number=5)))
    assert planned_beam(plan, 5).number == 5
    with pytest.raises(InputError, match="beams 2, 5"):
        planned_beam(plan, None)
    odd = field(unsupported=("it has a range shifter",))
    with pytest.raises(NotEvaluableError, match="range shifter"):
        field_into_patient(patient, plan, odd, generic_beam_model())


def test_a_pencil_beam_takes_energy_and_size_from_a_beam_model():
    model = BeamModel(
        nominal_mev=np.array([60.0, 100.0]),
        mean_mev=np.array([62.0, 102.0]),
        spread_percent=np.array([0.5, 0.5]),
        sigma_x_mm=np.array([2.0, 2.0]),
        sigma_y_mm=np.array([3.0, 3.0]),
        divergence_x_mrad=np.zeros(2),
        divergence_y_mrad=np.zeros(2),
        protons_per_mu=np.full(2, 1e8),
    )
    grid = block("water", size_mm=(40.0, 40.0, 60.0), spacing_mm=(4.0, 4.0, 4.0)).grid
    aimed = into_face(grid, PencilBeam(energy_mev=60.0, model=model))
    spot = aimed.source.spots[0]
    assert spot[12:14] == pytest.approx([2.0, 3.0])
    assert spot[16:18] == pytest.approx([62.0, 0.31])
    assert aimed.source.protons == 0.0
    assert aimed.source.reference == pytest.approx(grid.local_from_world([0.0, 0.0, 0.0]))


@pytest.mark.parametrize(
    "wrong",
    [{"energy_mev": 0.5}, {"energy_mev": float("nan")}, {"spot_sigma_mm": -1.0}, {"energy_spread_percent": 30.0}],
)
def test_an_impossible_pencil_beam_is_refused(wrong):
    with pytest.raises(InputError):
        PencilBeam(**{"energy_mev": 100.0, **wrong})


def test_the_stated_uncertainty_of_r80_is_that_of_repeated_runs():
    """Within a factor of two: 40 runs of 110 MeV with other seeds, whose own spread is known to 11 %."""
    medium = block("water", size_mm=(80.0, 80.0, 110.0), spacing_mm=(4.0, 4.0, 2.0))
    source = into_face(medium.grid, PencilBeam(energy_mev=110.0, spot_sigma_mm=0.0)).source
    runs = [simulate(medium=medium, source=source, protons=1000, seed=seed, threads=1) for seed in range(40)]
    spread = float(np.std([run.range_mm() for run in runs], ddof=1))
    stated = np.mean([r80_sd_mm(run) for run in runs])
    assert 0.5 < stated / spread < 2.0
    assert facts(runs[0])["r80_sd_mm"] == pytest.approx(r80_sd_mm(runs[0]))


def test_a_gpu_is_never_replaced_in_silence(monkeypatch):
    monkeypatch.setattr("protonqa.montecarlo.agreement.obstacle", lambda: "it counts wrong")
    gpu = Device(kind="cuda", label="GPU", requested="auto")
    auto = transport_device(gpu)
    assert (auto.kind, auto.requested, auto.note) == ("cpu", "auto", "the Monte Carlo runs on the CPU: it counts wrong")
    assert [one.code for one in device_findings(gpu, auto)] == ["SIM-ON-CPU"]
    with pytest.raises(DeviceError, match="got cuda: it counts wrong"):
        transport_device(Device(kind="cuda", label="GPU", requested="cuda"))


def test_a_device_that_passed_its_test_is_used_as_it_is(monkeypatch):
    monkeypatch.setattr("protonqa.montecarlo.agreement.obstacle", lambda: "")
    gpu = Device(kind="cuda", label="GPU", requested="auto")
    assert transport_device(CPU) is CPU
    assert transport_device(gpu) is gpu
    assert device_findings(gpu, gpu) == ()


def test_slowing_down_yields_are_the_published_ones():
    """Primary yields in PMMA at 110 and 140 MeV: 11C 2.00e-2 and 2.82e-2, 15O 0.61e-2 and 0.84e-2 per proton."""
    for energy, carbon, oxygen in ((110.0, 2.00e-2, 0.61e-2), (140.0, 2.82e-2, 0.84e-2)):
        made = dict(
            zip(
                CHANNEL_NAMES,
                slowing_down_yields(material("pmma"), energy, cross_section_set("recommended")),
                strict=True,
            )
        )
        assert made["p+12C->11C"] + made["p+16O->11C"] == pytest.approx(carbon, rel=0.02)
        assert made["p+16O->15O"] == pytest.approx(oxygen, rel=0.02)


def test_the_core_of_a_spread_is_found_under_a_halo():
    x = (np.arange(240) - 119.5) * 0.25
    core = np.exp(-0.5 * (x / 2.0) ** 2)
    assert gaussian_core_sigma_mm(core, x) == pytest.approx(2.0, rel=1e-3)
    halo = core + 0.005 * np.exp(-0.5 * (x / 12.0) ** 2)
    assert gaussian_core_sigma_mm(halo, x) == pytest.approx(2.0, rel=0.02)
    assert np.sqrt((halo * x**2).sum() / halo.sum()) > 2.5


@pytest.fixture(scope="module")
def phantom_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("phantom") / "block.yaml"
    path.write_text(
        "name: block\nsize_mm: [60, 60, 60]\nspacing_mm: [4, 4, 4]\nbackground: {material: water}\n", encoding="utf-8"
    )
    return path


def run(tmp_path, inputs, **params):
    analysis = MonteCarlo()
    return run_analysis(analysis, inputs, {"protons": 300, **params}, seed=3, out=tmp_path)


def test_a_phantom_run_is_a_whole_result(phantom_file, tmp_path):
    result = run(tmp_path, {}, phantom=str(phantom_file), energy_mev=60.0)
    assert result.state is State.PASS
    assert result.value("r80") == pytest.approx(float(csda_range_water_mm(60.0)), abs=0.3)
    interval = result.measurements["r80"]
    assert interval.low < interval.value < interval.high
    assert set(result.artefacts) == {"profile.csv", "dose.mha", *(f"{key}.mha" for key in NUCLIDE_KEYS)}
    # Neutrals are booked as the mean of their tables: the sum has a noise of 0.16 over the root of the protons.
    assert sum(result.provenance["energy_balance"].values()) == pytest.approx(1.0, abs=4 * 0.16 / np.sqrt(300))
    assert result.provenance["device"]["kind"] == "cpu"
    assert {figure.name for figure in result.figures} == {"depth-dose", "nuclides"}


def test_a_case_is_simulated_by_its_plan_or_by_a_pencil_beam(patient, tmp_path):
    info = SeriesInfo(modality="CT", patient_position="HFS")
    plan = IonPlan(patient_position="HFS", beams=(field(),))
    planned = run(tmp_path, {"case": Case(ct=patient, ct_info=info, plan=plan)}, volumes=False)
    assert set(planned.artefacts) == {"profile.csv"}
    assert planned.value("field_protons") > 0
    assert {"HLUT-GENERIC", "BEAM-MODEL-GENERIC"} <= {one.code for one in planned.findings}
    single = run(tmp_path, {"case": Case(ct=patient, ct_info=info)}, energy_mev=60.0, gantry_deg=90.0, volumes=False)
    assert single.value("r80") == pytest.approx(float(csda_range_water_mm(60.0)) / 1.024, abs=0.4)
    assert "BEAM-MODEL-GENERIC" not in {one.code for one in single.findings}


def test_a_beam_that_leaves_has_no_range_and_says_so(phantom_file, tmp_path):
    result = run(tmp_path, {}, phantom=str(phantom_file), energy_mev=230.0, protons=2000)
    assert result.value("r80") is None
    assert "SIM-NO-RANGE" in {one.code for one in result.findings}
