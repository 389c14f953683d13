"""Digital twins of one patient for fine-tuning: what is drawn and how much; drawn first, computed later."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from protonqa.range_model.config import Settings
from protonqa.range_model.set_config import Part

Gas = Literal["as planned", "filled", "grown"]
#: Below this a layer is none, mm.
THINNEST_LAYER_MM = 0.5


class PatientTwinsConfig(Settings):
    """How the days of one patient may differ from the planning CT, and how well each is simulated.

    Set-up errors are normal (1 SD, cut at 2.5), the others even up to their bound.
    """

    seed: int = Field(1, ge=0, lt=2**31)
    #: One of them repeats the planning CT in the planned position.
    twins: int = Field(20, ge=4, le=10_000)
    calibrate_share: float = Field(0.25, gt=0.0, lt=1.0)
    test_share: float = Field(0.2, gt=0.0, lt=1.0)
    shift_sd_mm: float = Field(2.0, ge=0.0, le=20.0)
    rotation_sd_deg: float = Field(1.0, ge=0.0, le=10.0)
    #: Relative error of the stopping power of the planning CT, of soft tissue and of bone each.
    rsp_error: float = Field(0.035, ge=0.0, le=0.2)
    composition_hu: float = Field(30.0, ge=0.0, le=200.0)
    #: Thickest layer that the skin gains or loses.
    layer_mm: float = Field(5.0, ge=0.0, le=20.0)
    layer_share: float = Field(0.6, ge=0.0, le=1.0)
    #: Share of the twins whose pockets of gas have filled with tissue or grown.
    gas_share: float = Field(0.4, ge=0.0, le=1.0)
    rays_per_beam: int = Field(48, ge=1, le=10_000)
    #: Histories in the 4 mm x 4 mm of a ray, on average over the field.
    protons_per_ray: int = Field(4000, ge=100, le=1_000_000)
    #: More histories for the twins of the test, so that the noise of the truth counts less in their errors.
    test_factor: float = Field(2.0, ge=1.0, le=20.0)
    #: Rays whose R80 is known no better than this are left out.
    worst_noise_mm: float = Field(0.8, gt=0.0)

    @model_validator(mode="after")
    def _check(self) -> PatientTwinsConfig:
        if min(self.counts()) < 1:
            raise ValueError(f"twins for training, calibration and test are {self.counts()}, each needs one")
        return self

    def counts(self) -> tuple[int, int, int]:
        """Twins for training, calibration and test."""
        n_calibrate, n_test = round(self.calibrate_share * self.twins), round(self.test_share * self.twins)
        return self.twins - n_calibrate - n_test, n_calibrate, n_test


class TwinDraw(Settings):
    """One day of the patient.

    Parameters
    ----------
    shift_mm, rotation_deg : (x, y, z)
        Of the patient about the isocentre, LPS axes.
    layer_mm : float
        Added to the skin; negative: lost.
    soft_factor, bone_factor : float
        True over planned stopping power.
    composition_hu : float
        As in `beam_draws.BeamDraw`.
    seed : int
        Of the simulation.
    """

    name: str
    part: Part
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rotation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    layer_mm: float = 0.0
    gas: Gas = "as planned"
    soft_factor: float = 1.0
    bone_factor: float = 1.0
    composition_hu: float = 0.0
    seed: int


def draw_patient_twins(config: PatientTwinsConfig) -> tuple[TwinDraw, ...]:
    """Every twin, parts by turns; the first one of training is the planning CT as it is."""
    n_train, n_calibrate, n_test = config.counts()
    parts: list[tuple[float, Part]] = []
    counted: tuple[tuple[Part, int], ...] = (("train", n_train), ("calibrate", n_calibrate), ("test", n_test))
    for part, count in counted:
        parts += [((i + 0.5) / count, part) for i in range(count)]
    twins, plain = [], True
    for number, (_, part) in enumerate(sorted(parts)):
        one = _draw(config, number, part)
        if plain and part == "train":
            one, plain = TwinDraw(name=one.name, part=part, seed=one.seed), False
        twins.append(one)
    return tuple(twins)


def _draw(config: PatientTwinsConfig, number: int, part: Part) -> TwinDraw:
    """Twin `number`; depends on seed and number alone."""
    rng = np.random.default_rng([0x7A15, config.seed, number])
    shift = np.clip(rng.normal(0.0, 1.0, 3), -2.5, 2.5) * config.shift_sd_mm
    turn = np.clip(rng.normal(0.0, 1.0, 3), -2.5, 2.5) * config.rotation_sd_deg
    layer = rng.uniform(-1.0, 1.0) * config.layer_mm * (rng.uniform() < config.layer_share)
    gas: Gas = "as planned"
    if rng.uniform() < config.gas_share:
        gas = "filled" if rng.uniform() < 0.5 else "grown"
    factors = 1.0 + np.clip(rng.normal(0.0, 0.5, 2), -1.0, 1.0) * config.rsp_error
    return TwinDraw(
        name=f"twin-{number:04d}",
        part=part,
        shift_mm=(float(shift[0]), float(shift[1]), float(shift[2])),
        rotation_deg=(float(turn[0]), float(turn[1]), float(turn[2])),
        layer_mm=float(layer) if abs(layer) >= THINNEST_LAYER_MM else 0.0,
        gas=gas,
        soft_factor=float(factors[0]),
        bone_factor=float(factors[1]),
        composition_hu=float(np.clip(rng.normal(0.0, 0.5), -1.0, 1.0) * config.composition_hu),
        seed=int(rng.integers(0, 2**31)),
    )
