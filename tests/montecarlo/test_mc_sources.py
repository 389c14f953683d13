"""Sources from any direction: size, divergence and energy spread arrive as the beam model says."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.errors import InputError
from protonqa.geometry.frames import beam_frame
from protonqa.montecarlo.medium import medium_from_hu
from protonqa.montecarlo.simulation import simulate
from protonqa.montecarlo.source import field_source, pencil_beam
from protonqa.physics.emission import CHANNEL_NAMES, CrossSections
from protonqa.values import Beam, BeamModel, EnergyLayer, Grid, Volume

ISOCENTRE = np.array([6.0, -4.0, 10.0])
#: Gantry and couch: along an axis of the grid, across it, and along none.
ANGLES = [(0.0, 0.0), (90.0, 0.0), (37.0, 25.0)]


@pytest.fixture(scope="module")
def air():
    """A cube of thin air, 300 mm, in which 200 MeV protons go straight on."""
    grid = Grid(shape=(100, 100, 100), spacing_mm=(3.0, 3.0, 3.0), origin_mm=(-148.5, -148.5, -148.5))
    return medium_from_hu(Volume(grid=grid, array=np.full(grid.shape, -1000.0), unit="HU"))


@pytest.fixture(scope="module")
def places(air):
    """LPS positions of the voxels."""
    index = np.stack(np.meshgrid(*(np.arange(100),) * 3, indexing="ij"), axis=-1)[..., ::-1]
    return air.grid.world_from_index(index).astype(np.float32)


def model(**changes: object) -> BeamModel:
    values: dict[str, object] = {
        "nominal_mev": np.array([200.0]),
        "mean_mev": np.array([198.0]),
        "spread_percent": np.array([0.8]),
        "sigma_x_mm": np.array([4.0]),
        "sigma_y_mm": np.array([6.0]),
        "divergence_x_mrad": np.array([60.0]),
        "divergence_y_mrad": np.array([20.0]),
        "protons_per_mu": np.array([1e8]),
        "virtual_sad_mm": (1500.0, 2200.0),
    }
    return BeamModel(**{**values, **changes})  # type: ignore[arg-type]


def field(angles, spots_mm=((0.0, 0.0),)) -> Beam:
    spots = np.array(spots_mm)
    return Beam(
        number=1,
        name="one",
        gantry_deg=angles[0],
        couch_deg=angles[1],
        isocenter_mm=tuple(ISOCENTRE),
        layers=(EnergyLayer(energy_mev=200.0, spot_xy_mm=spots, meterset_mu=np.ones(len(spots))),),
    )


def crossing(result, places, frame, along_mm):
    """Means and SDs along gantry X and Y of the protons between two planes 18 mm apart.

    Emitters are counted by path and not drawn: they show the fluence without the fluctuations of the energy loss.
    """
    bev = (places - ISOCENTRE) @ np.stack([frame.x_axis, frame.y_axis, frame.direction], axis=1)
    near = np.abs(bev[..., 2] - along_mm) < 9.0
    weight, xy = result.nuclei[0][near].astype(np.float64), bev[near][:, :2]
    mean = (weight[:, None] * xy).sum(axis=0) / weight.sum()
    return mean, np.sqrt((weight[:, None] * (xy - mean) ** 2).sum(axis=0) / weight.sum())


@pytest.mark.parametrize("angles", ANGLES)
def test_a_spot_has_its_size_at_the_isocentre_and_widens_by_its_divergence(air, places, angles):
    """Swapped axes, a size stated at another plane or a divergence lost on the way show at one of three planes."""
    frame = beam_frame("HFS", *angles, ISOCENTRE)
    source = field_source(air.grid, field(angles), frame, model())
    result = simulate(medium=air, source=source, protons=30_000, seed=1, nuclear=False, threads=1)
    for along_mm in (-90.0, 0.0, 90.0):
        mean, sd = crossing(result, places, frame, along_mm)
        expected = np.hypot((4.0, 6.0), along_mm * np.array([0.060, 0.020]))
        assert mean == pytest.approx([0.0, 0.0], abs=0.15)
        # A voxel's own variance is 3^2 / 12 on every axis.
        assert sd == pytest.approx(np.hypot(expected, 3.0 / np.sqrt(12.0)), rel=0.025), along_mm


@pytest.mark.parametrize("angles", ANGLES)
def test_spots_off_the_axis_come_from_the_virtual_sources(air, places, angles):
    frame = beam_frame("HFS", *angles, ISOCENTRE)
    beams = model(
        sigma_x_mm=np.array([3.0]),
        sigma_y_mm=np.array([3.0]),
        divergence_x_mrad=np.zeros(1),
        divergence_y_mrad=np.zeros(1),
    )
    source = field_source(air.grid, field(angles, ((40.0, -55.0),)), frame, beams)
    result = simulate(medium=air, source=source, protons=4000, seed=1, nuclear=False, threads=1)
    for along_mm in (-60.0, 0.0, 60.0):
        mean, _ = crossing(result, places, frame, along_mm)
        spread = 1.0 + along_mm / np.array([1500.0, 2200.0])
        assert mean == pytest.approx(np.array([40.0, -55.0]) * spread, abs=0.15)


def energy_moments(medium, source) -> tuple[float, float]:
    """Mean and SD of the energy of the protons in thin air, from channels that count powers of the energy."""
    low, high = 185.0, 211.0
    energy = np.linspace(low, high, 2001)
    share = (energy - low) / (high - low)
    names = ("p+14N->11C", "p+14N->13N", "p+16O->15O")
    powers = {"p+14N->11C": 1e6 * share, "p+14N->13N": 1e6 * share**2, "p+16O->15O": np.full(share.shape, 1e6)}
    curves = {name: (energy, powers[name]) for name in names}
    result = simulate(
        medium=medium,
        source=source,
        protons=20_000,
        seed=2,
        nuclear=False,
        threads=1,
        cross_sections=CrossSections(name="powers of energy", curves=curves),
    )
    made = dict(zip(CHANNEL_NAMES, result.channels_per_mm.sum(axis=1), strict=True))
    # Air is nearly all nitrogen; the count of nitrogen atoms drops out against a run of constant cross section.
    flat = simulate(
        medium=medium,
        source=source,
        protons=20_000,
        seed=2,
        nuclear=False,
        threads=1,
        cross_sections=CrossSections(
            name="one", curves={name: (np.array([1.0, 300.0]), np.full(2, 1e6)) for name in names}
        ),
    )
    each = dict(zip(CHANNEL_NAMES, flat.channels_per_mm.sum(axis=1), strict=True))
    first, second = (made[name] / each[name] for name in names[:2])
    return low + first * (high - low), (high - low) * float(np.sqrt(second - first**2))


@pytest.mark.parametrize("angles", ANGLES)
def test_the_energy_has_the_mean_and_the_spread_of_the_beam_model(air, angles):
    frame = beam_frame("HFS", *angles, ISOCENTRE)
    mean, sd = energy_moments(air, field_source(air.grid, field(angles), frame, model()))
    # Some 0.3 MeV are left on 150 mm of air, on average half of that at the mean place.
    assert mean == pytest.approx(198.0, abs=0.25)
    assert sd == pytest.approx(0.008 * 198.0, rel=0.03)


def test_a_pencil_beam_spreads_as_asked(air, places):
    direction = np.array([0.3, 0.9, -0.4])
    source = pencil_beam(
        air.grid,
        position_mm=ISOCENTRE,
        direction=direction,
        energy_mev=200.0,
        spot_sigma_mm=5.0,
        energy_spread_percent=1.0,
        divergence_mrad=40.0,
    )
    result = simulate(medium=air, source=source, protons=20_000, seed=1, nuclear=False, threads=1)
    unit = direction / np.linalg.norm(direction)
    along = (places - ISOCENTRE) @ unit
    for way in (0.0, 80.0):
        near = np.abs(along - way) < 9.0
        weight = result.nuclei[0][near].astype(np.float64)
        across = (places[near] - ISOCENTRE) - along[near][:, None] * unit
        variance = (weight * (across**2).sum(axis=1)).sum() / weight.sum() / 2.0
        assert np.sqrt(variance - 9.0 / 12.0) == pytest.approx(np.hypot(5.0, 0.040 * way), rel=0.025)


@pytest.mark.parametrize(
    "wrong",
    [{"divergence_mrad": -1.0}, {"divergence_mrad": float("nan")}, {"divergence_mrad": 500.0}, {"energy_mev": 301.0}],
)
def test_an_impossible_pencil_beam_is_refused(air, wrong):
    values = {"energy_mev": 100.0, "spot_sigma_mm": 1.0, "energy_spread_percent": 0.0} | wrong
    with pytest.raises(InputError):
        pencil_beam(air.grid, position_mm=ISOCENTRE, direction=np.array([0.0, 0.0, 1.0]), **values)
