"""Targets and beam directions of twins: reproducible, in tissue, where they are named after, within reach."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from protonqa.errors import InputError
from protonqa.geometry.body import body_mask
from protonqa.phantom.field_maker import design_field
from protonqa.phantom.target import SphericalTarget, share_in_body, target_voxels
from protonqa.phantom.treatments import (
    PATIENT_POSITION,
    draw_fitting_treatment,
    draw_treatment,
    in_tissue,
    water_depths_mm,
)
from protonqa.phantom.twin_parameters import Pose
from protonqa.phantom.twin_targets import region_named, target_regions
from protonqa.phantom.twins import (
    SITES,
    TwinParameters,
    _body_coordinates,
    draw_twin,
    room_position_mm,
    voxelise_twin,
)
from protonqa.physics.stopping import csda_range_water_mm
from protonqa.values import Grid, Volume


@pytest.fixture(scope="module", params=SITES)
def planned(request: pytest.FixtureRequest) -> tuple[TwinParameters, Volume, np.ndarray]:
    twin = draw_twin(2, site=request.param)
    ct = voxelise_twin(twin, 4.0, ct_noise=True).volume()
    return twin, ct, body_mask(ct)


@pytest.mark.parametrize("site", SITES)
def test_same_twin_and_seed_same_treatment(site: str) -> None:
    twin = draw_twin(8, site=site)
    drawn = [draw_treatment(twin, seed) for seed in range(40)]
    assert drawn == [draw_treatment(twin, seed) for seed in range(40)]
    assert len({t.center_mm for t in drawn}) == 40
    assert {t.region for t in drawn} == {region.name for region in target_regions(twin.anatomy)}
    assert {t.site for t in drawn} == {site}
    assert all(0 <= t.gantry_deg < 360 for t in drawn)
    assert drawn != [draw_treatment(draw_twin(9, site=site), seed) for seed in range(40)]


@pytest.mark.parametrize("site", SITES)
def test_beams_come_from_the_sectors_of_their_region(site: str) -> None:
    twin = draw_twin(8, site=site)
    for region in target_regions(twin.anatomy):
        for seed in range(20):
            drawn = draw_treatment(twin, seed, region=region.name, free_share=0.0)
            gaps = [abs((drawn.gantry_deg - middle + 180) % 360 - 180) - half for middle, half in region.gantry_deg]
            assert min(gaps) <= 1e-9
            assert region.couch_deg[0] <= drawn.couch_deg <= region.couch_deg[1]
            assert region.radius_mm[0] <= drawn.radius_mm <= region.radius_mm[1]
    free = [draw_treatment(twin, seed, free_share=1.0).gantry_deg for seed in range(60)]
    assert np.histogram(free, bins=6, range=(0, 360))[0].min() > 0


def test_points_of_the_body_are_found_in_the_room() -> None:
    twin = draw_twin(13, site="pelvis")
    twin = twin.model_copy(update={"pose": Pose(shift_mm=(6.0, -4.0, 5.0), rotation_deg=(4.0, -5.0, 12.0))})
    assert twin.waves
    points = np.array([[10.0, 20.0, 110.0], [-60.0, -30.0, 60.0], [80.0, 40.0, 160.0]])
    room = room_position_mm(twin, points)
    for there, here in zip(room, points, strict=True):
        one = Grid(shape=(1, 1, 1), spacing_mm=(1.0, 1.0, 1.0), origin_mm=tuple(there))
        assert _body_coordinates(one, twin)[:, 0, 0, 0] == pytest.approx(here, abs=0.02)


@pytest.mark.parametrize(("site", "region", "tissue"), [("pelvis", "prostate", "prostate"), ("head", "brain", "brain")])
def test_targets_lie_on_what_they_are_named_after(site: str, region: str, tissue: str) -> None:
    wanted = {"prostate": ("prostate",), "brain": ("grey_matter", "white_matter", "csf", "ventricle")}[tissue]
    twin = draw_twin(4, site=site)
    phantom = voxelise_twin(twin, 3.0)
    index = [phantom.tissues.index(t) for t in wanted]
    for seed in range(10):
        drawn = draw_treatment(twin, seed, region=region)
        small = SphericalTarget(center_mm=np.array(drawn.center_mm), radius_mm=6.0)
        assert np.isin(phantom.tissue_index[target_voxels(small, phantom.grid)], index).mean() > 0.6


def test_fitting_treatments_lie_in_tissue_within_the_ranges_of_the_machine(planned) -> None:  # type: ignore[no-untyped-def]
    twin, ct, body = planned
    shortest, longest = csda_range_water_mm(np.array([70.0, 230.0]))
    for seed in range(15):
        drawn = draw_fitting_treatment(twin, ct, body, seed)
        assert drawn == draw_fitting_treatment(twin, ct, body, seed)
        near, far = water_depths_mm(drawn, ct, body)
        assert shortest <= near < far <= longest
        assert in_tissue(drawn, ct, body)


def test_most_drawn_treatments_fit(planned) -> None:  # type: ignore[no-untyped-def]
    twin, ct, body = planned
    shortest, longest = csda_range_water_mm(np.array([70.0, 230.0]))
    drawn = [draw_treatment(twin, seed) for seed in range(60)]
    depths = np.array([water_depths_mm(t, ct, body) for t in drawn])
    fit = (depths[:, 0] >= shortest) & (depths[:, 1] <= longest) & [in_tissue(t, ct, body) for t in drawn]
    assert fit.mean() > 0.6


def test_the_field_maker_takes_a_fitting_treatment(planned) -> None:  # type: ignore[no-untyped-def]
    twin, ct, body = planned
    drawn = draw_fitting_treatment(twin, ct, body, 1, energies_mev=(75.0, 225.0))
    design = design_field(
        ct,
        patient_position=PATIENT_POSITION,
        target_center_mm=drawn.center_mm,
        target_radius_mm=drawn.radius_mm,
        gantry_deg=drawn.gantry_deg,
        couch_deg=drawn.couch_deg,
        body=body,
    )
    energies = [layer.energy_mev for layer in design.plan.beams[0].layers]
    assert 70 <= min(energies) < max(energies) <= 230
    _, far = water_depths_mm(drawn, ct, body)
    assert float(csda_range_water_mm(max(energies))) > far - 2.0


def test_water_depth_counts_water_and_the_couch_before_it() -> None:
    twin = draw_twin(2, site="pelvis")
    drawn = draw_treatment(twin, 1)
    hu = np.full((40, 60, 50), -1000.0, dtype=np.float32)
    hu[:, 20:50, 5:45] = 0.0
    grid = Grid(shape=hu.shape, spacing_mm=(4.0, 4.0, 4.0), origin_mm=(-98.0, -118.0, 2.0))
    body = hu > -500
    hu[:, 54:56] = 0.0  # a board behind
    ct = Volume(grid=grid, array=hu, unit="HU")
    beam = {"center_mm": (0.0, 20.0, 80.0), "radius_mm": 10.0, "couch_deg": 0.0}
    front = water_depths_mm(replace(drawn, gantry_deg=0.0, **beam), ct, body)
    back = water_depths_mm(replace(drawn, gantry_deg=180.0, **beam), ct, body)
    water = 1.024  # RSP of HU 0 in the generic calibration
    assert front == pytest.approx(((60 - 10) * water, (60 + 10) * water), abs=2.0)
    assert back == pytest.approx(((60 - 10 + 8) * water, (60 + 10 + 8) * water), abs=2.0)


def test_air_between_parts_of_the_body_counts_as_inside_and_a_gap_does_not() -> None:
    body = np.zeros((4, 20, 20), dtype=bool)
    body[:, 5:15, 2:18] = True
    body[:, 8:12, 8:12] = False  # a throat, open at its ends
    body[:, 5:, 4] = False  # a cleft that opens to the back
    throat = tuple(np.array(v) for v in ([1, 2], [9, 10], [9, 10]))
    cleft = tuple(np.array(v) for v in ([1, 2], [9, 10], [4, 4]))
    assert share_in_body(throat, body) == 1.0
    assert share_in_body(cleft, body) == 0.0


def test_unknown_regions_and_hopeless_machines_are_named() -> None:
    twin = draw_twin(2, site="head")
    with pytest.raises(InputError, match=r"the head has no such target.*brain"):
        draw_treatment(twin, 1, region="liver")
    with pytest.raises(InputError, match="no such target"):
        region_named(twin.anatomy, "prostate")
    ct = voxelise_twin(twin, 6.0).volume()
    with pytest.raises(InputError, match="no drawn target fits the machine"):
        draw_fitting_treatment(twin, ct, body_mask(ct), 1, energies_mev=(200.0, 205.0), tries=3)
