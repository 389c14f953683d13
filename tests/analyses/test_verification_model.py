"""A range model that is given takes the place of the shipped one, and one of another patient does not answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from protonqa.analyses.range_verification.estimates import estimate, identity_for, load_model
from protonqa.device import CPU
from protonqa.errors import InputError
from protonqa.range_model.card import PatientDomain
from protonqa.range_model.model_file import RangeModel, shipped_model
from protonqa.range_model.patient_case import ct_identity
from protonqa.values import Case, Grid, ProfileSet, SeriesInfo, Volume


@pytest.fixture(scope="module")
def case() -> Case:
    grid = Grid(shape=(2, 3, 4), spacing_mm=(1.0, 1.0, 1.0), origin_mm=(0.0, 0.0, 0.0))
    ct = Volume(grid=grid, array=np.zeros(grid.shape, dtype=np.float32), unit="HU")
    return Case(ct=ct, ct_info=SeriesInfo(modality="CT", frame_of_reference_uid="1.2.3"))


@pytest.fixture(scope="module")
def personal(case: Case) -> RangeModel:
    """The shipped weights with a card that says they are of this case."""
    model = shipped_model()
    patient = PatientDomain(
        ct_identity=ct_identity(case.ct, "1.2.3"),
        beams=(1,),
        started_from=model.card.name,
        started_from_card="",
        twins={},
        anatomies={},
        interval_rule="",
        interval_factors=(1.0, 1.0),
    )
    return replace(model, card=model.card.model_copy(update={"patient": patient}))


def profiles() -> ProfileSet:
    depth = np.arange(300) + 0.5
    activity = 1.0 / (1.0 + np.exp((depth - 150.0) / 2.0))
    return ProfileSet(depth_mm=depth, activity=activity[None], rsp=np.ones((1, depth.size)))


def test_a_given_model_is_used_and_said(personal: RangeModel) -> None:
    model, findings = load_model("auto", personal)
    assert model is personal
    assert [one.code for one in findings] == ["MODEL-OF-YOUR-OWN"]
    assert load_model("auto")[1] == ()
    assert load_model("a50", personal)[0] is None
    with pytest.raises(InputError, match="no range model"):
        load_model("auto", "weights")


def test_the_model_of_one_patient_answers_on_that_patient_alone(case: Case, personal: RangeModel) -> None:
    assert identity_for(shipped_model(), case) is None
    own = estimate(personal, profiles(), CPU, ct_identity=identity_for(personal, case))
    assert own.answered.all()
    moved = Volume(grid=replace(case.ct.grid, origin_mm=(1.0, 0.0, 0.0)), array=case.ct.array, unit="HU")
    for other in (replace(case, ct=moved), replace(case, ct_info=replace(case.ct_info, frame_of_reference_uid="9"))):
        answer = estimate(personal, profiles(), CPU, ct_identity=identity_for(personal, other))
        assert not answer.answered.any()
        assert "another CT" in answer.reasons[0]
