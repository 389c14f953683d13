"""An invented training set: layered tissue, activity and dose as smooth functions of the residual range.

It has nothing to do with nuclear data; it has a known R80, a fall-off of activity in front of it that depends on the
tissue, and anatomies, which is what the tests of this room need.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from protonqa.physics.curves import distal_range_mm
from protonqa.range_model.config import FeatureConfig, ModelConfig, NetworkConfig
from protonqa.range_model.dataset import RayTable, SetSchema, TrainingRay
from protonqa.range_model.model_file import RangeModel, load_model
from protonqa.range_model.pipeline import train_model
from protonqa.range_model.rays import WORKING_BINS
from protonqa.range_model.scenarios import ScenarioConfig
from protonqa.range_model.training import TrainConfig
from protonqa.values import ProfileSet

FINE_MM = 0.25
TISSUES = ((-90.0, 0.95), (40.0, 1.04), (600.0, 1.35))


def toy_ray(rng: np.random.Generator, anatomy: str, *, layers: int = 3, range_mm: float | None = None) -> TrainingRay:
    """A ray through `layers` random tissues with a random range."""
    depth = (np.arange(round(WORKING_BINS / FINE_MM)) + 0.5) * FINE_MM
    cuts = np.sort(rng.uniform(10, 200, layers - 1))
    kind = rng.integers(0, len(TISSUES), layers)
    layer = np.searchsorted(cuts, depth)
    hu = np.array([TISSUES[k][0] for k in kind])[layer]
    rsp = np.array([TISSUES[k][1] for k in kind])[layer]
    wepl = np.cumsum(rsp) * FINE_MM
    reach = rng.uniform(60, 220) if range_mm is None else range_mm
    residual = reach - wepl
    width = 0.9 + 0.008 * reach

    def fall(at_mm: float, sd_mm: float) -> np.ndarray:
        return 0.5 * (1 + np.tanh((residual - at_mm) / sd_mm))

    rates = {"c11": 0.6 * fall(5, 2 + width), "o15": 0.4 * fall(8, 2 + width), "n13": 0.05 * fall(2, 1 + width)}
    production = np.zeros((7, depth.size))
    for row, key in ((0, "c11"), (1, "n13"), (2, "o15")):
        production[row] = rates[key] * rsp
    stopping = np.where(residual > 0, np.maximum(residual, 0.3), np.inf) ** -0.44
    kernel_x = np.arange(-40, 41) * FINE_MM
    kernel = np.exp(-0.5 * (kernel_x / width) ** 2)
    dose = np.convolve(np.pad(stopping, 40, mode="edge"), kernel / kernel.sum(), mode="valid")
    r80 = distal_range_mm(depth, dose)

    def millimetres(values: np.ndarray) -> np.ndarray:
        return values.reshape(*values.shape[:-1], WORKING_BINS, -1).mean(axis=-1)

    return TrainingRay(
        anatomy=anatomy,
        site="toy",
        kind="pencil",
        production=millimetres(production),
        hu_true=millimetres(hu),
        hu=millimetres(hu),
        rsp=millimetres(rsp),
        dose=dose.reshape(-1, 2).mean(axis=1),
        r80_mm=r80,
        planned_r80_mm=r80 + rng.uniform(-3, 3),
        energy_low_mev=80.0,
        energy_high_mev=200.0,
        falloff_mm=1.5 * width,
        heterogeneous=layers > 1 and len(set(kind.tolist())) > 1,
        protons=1e5,
    )


def toy_rays(n_anatomy: int, rays_each: int, seed: int) -> list[TrainingRay]:
    rng = np.random.default_rng(seed)
    return [toy_ray(rng, f"toy-{a}") for a in range(n_anatomy) for _ in range(rays_each)]


def toy_profiles(rays: list[TrainingRay], **changes: object) -> ProfileSet:
    """Raw profiles as a clinic would hand them over."""
    fields: dict[str, object] = {
        "depth_mm": np.arange(WORKING_BINS) + 0.5,
        "activity": np.stack([r.production.sum(axis=0) for r in rays]),
        "rsp": np.stack([r.rsp for r in rays]),
    }
    return ProfileSet(**{**fields, **changes})


#: Small and coarse: seconds, not hours.
TOY_MODEL = ModelConfig(
    features=FeatureConfig(segments=((-320.0, -40.0, 20.0), (-40.0, 40.0, 2.0))),
    network=NetworkConfig(hidden=16, layers=1, encoder=16, head=24),
    members=2,
)
TOY_SCENARIOS = ScenarioConfig(
    raw_share=0.6,
    noise={"none": 0.7, "snr-multiplicative": 0.2, "poisson": 0.1},
    counts=(3e4, 3e5),
    snr=(10.0, 20.0),
    voxel_share=0.1,
    window_share=0.4,
    no_ct_share=0.2,
    rsp_error_percent=0.5,
    production_error_percent=5.0,
)


def toy_config(**changes: object) -> TrainConfig:
    fields: dict[str, object] = {
        "name": "toy",
        "seed": 3,
        "model": TOY_MODEL,
        "scenarios": TOY_SCENARIOS,
        "epochs": 10,
        "batch": 32,
        "learning_rate": 6e-3,
        "ema": 0.98,
        "groups": (("spread_mm", 2),),
        "smallest_group": 50,
        "calibration_rounds": 3,
    }
    return TrainConfig.model_validate({**fields, **changes})


@pytest.fixture(scope="session")
def toy() -> SimpleNamespace:
    """Everything invented, under one name."""
    return SimpleNamespace(
        ray=toy_ray,
        rays=toy_rays,
        profiles=toy_profiles,
        config=toy_config,
        model_config=TOY_MODEL,
        scenarios=TOY_SCENARIOS,
        quiet=ScenarioConfig.model_validate(QUIET),
    )


@pytest.fixture(scope="session")
def toy_table() -> RayTable:
    return RayTable.from_rays(toy_rays(40, 11, seed=11), SetSchema())


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory: pytest.TempPathFactory, toy_table: RayTable) -> Path:
    folder = tmp_path_factory.mktemp("toy-model")
    scenarios = {"raw": ScenarioConfig.model_validate(QUIET), "mixed": TOY_SCENARIOS}
    train_model(toy_config(), toy_table, folder, recipe={"note": "invented"}, scenarios=scenarios)
    return folder


@pytest.fixture(scope="session")
def toy_model(toy_folder: Path) -> RangeModel:
    return load_model(toy_folder)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tests of this room share a small computer."""
    torch.set_num_threads(1)


QUIET: dict[str, object] = {
    "raw_share": 1.0,
    "noise": {"none": 1.0},
    "window_share": 0.0,
    "voxel_share": 0.0,
    "no_ct_share": 0.0,
    "rsp_error_percent": 0.0,
    "production_error_percent": 0.0,
    "gain_decades": 0.0,
}
