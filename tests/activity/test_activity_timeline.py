"""Decay and washout in time: published check values, closed forms against quadrature, laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from protonqa.activity.timeline import frame_factors, mean_survival, positron_share, timeline_factors
from protonqa.activity.washout import tissue_classes, washout_model, washout_names
from protonqa.physics.nuclides import NUCLIDE_KEYS, decay_constants_per_s
from protonqa.values import Timeline

DECAY = decay_constants_per_s()
TISSUES = tissue_classes()[0]

# Activity at 300 s over initial activity, and decays in 0-300 s in place over initial nuclei, after an instantaneous
# irradiation: check values computed from Mizuno 2003, Parodi 2007 and Toramatsu 2018, printed to four digits.
CHECK = [
    (
        "none",
        None,
        {"c11": (0.8435, 0.1565), "n13": (0.7062, 0.2938), "o15": (0.1825, 0.8175), "k38": (0.6352, 0.3648)},
    ),
    (
        "mizuno-brain",
        None,
        {"c11": (0.3466, 0.0798), "n13": (0.2902, 0.1508), "o15": (0.0750, 0.4432), "k38": (0.2610, 0.1881)},
    ),
    (
        "mizuno-muscle",
        None,
        {"c11": (0.4614, 0.0989), "n13": (0.3863, 0.1866), "o15": (0.0998, 0.5419), "k38": (0.3474, 0.2325)},
    ),
    (
        "parodi-hu",
        "fat",
        {"c11": (0.7603, 0.1451), "n13": (0.6366, 0.2725), "o15": (0.1645, 0.7640), "k38": (0.5725, 0.3387)},
    ),
    (
        "parodi-hu",
        "soft-bone",
        {"c11": (0.5394, 0.1134), "n13": (0.4517, 0.2136), "o15": (0.1167, 0.6138), "k38": (0.4062, 0.2660)},
    ),
    ("toramatsu-o15", "soft", {"o15": (0.0646, 0.4955)}),
]
ROWS = [(model, tissue, key, *values) for model, tissue, row in CHECK for key, values in row.items()]


def factor(model: str, tissue: str | None, key: str, irradiation_s: float, delay_s: float, frame_s: float) -> float:
    timeline = Timeline(irradiation_s=irradiation_s, delay_s=delay_s, acquisition_s=frame_s)
    factors = timeline_factors(timeline, model)
    return float(factors[TISSUES.index(tissue) if tissue else 0, NUCLIDE_KEYS.index(key)])


@pytest.mark.parametrize(("model", "tissue", "key", "activity", "decays"), ROWS)
def test_published_check_values_to_the_printed_digits(
    model: str, tissue: str | None, key: str, activity: float, decays: float
) -> None:
    at_300_s = factor(model, tissue, key, 0, 300, 0) / DECAY[NUCLIDE_KEYS.index(key)]
    in_300_s = factor(model, tissue, key, 0, 0, 300)
    assert f"{at_300_s:.4f}" == f"{activity:.4f}"
    assert f"{in_300_s:.4f}" == f"{decays:.4f}"


@pytest.mark.parametrize(
    ("model", "tissue", "expected"),
    [
        ("mizuno-brain", None, 0.4109),
        ("mizuno-muscle", None, 0.5470),
        ("parodi-hu", "fat", 0.9013),
        ("parodi-hu", "soft-bone", 0.6395),
        ("parodi-hu", "compact-bone", 0.9013),
        ("toramatsu-o15", "soft", 0.3540),
    ],
)
def test_biological_factor_alone_at_300_s(model: str, tissue: str | None, expected: float) -> None:
    alone = factor(model, tissue, "o15", 0, 300, 0) / factor("none", None, "o15", 0, 300, 0)
    assert f"{alone:.4f}" == f"{expected:.4f}"


def survival(model: str, tissue: int, nuclide: int, t: float) -> float:
    values = washout_model(model)
    shares, rates = values.fractions[tissue, nuclide], values.rates_per_s[tissue, nuclide]
    return float(np.exp(-DECAY[nuclide] * t) * (shares * np.exp(-rates * t)).sum())


@pytest.mark.parametrize("model", ["none", "mizuno-brain", "mizuno-muscle", "parodi-hu", "toramatsu-o15"])
def test_closed_form_equals_direct_integration_over_birth_and_decay_times(model: str) -> None:
    # Born at constant rate over I, alive until t by the product of decay and washout, seen in [I + D, I + D + A].
    irradiation, delay, frame = 90.0, 45.0, 200.0
    factors = timeline_factors(Timeline(irradiation_s=irradiation, delay_s=delay, acquisition_s=frame), model).numpy()
    tissue = 2 if washout_model(model).needs_tissue else 0
    for nuclide in (0, 2, 3):

        def activity(t: float, nuclide: int = nuclide) -> float:
            born = quad(lambda s: survival(model, tissue, nuclide, t - s), 0, irradiation, epsabs=1e-13)[0]
            return DECAY[nuclide] * born / irradiation

        start = irradiation + delay
        decays = quad(activity, start, start + frame, epsabs=1e-12)[0]
        assert factors[tissue, nuclide] == pytest.approx(decays, rel=1e-7)


@pytest.mark.parametrize("model", ["none", "parodi-hu"])
def test_instantaneous_irradiation_is_the_limit_of_a_short_one(model: str) -> None:
    at_once = timeline_factors(Timeline(irradiation_s=0, delay_s=60, acquisition_s=120), model)
    short = timeline_factors(Timeline(irradiation_s=1e-9, delay_s=60, acquisition_s=120), model)
    torch.testing.assert_close(short, at_once, rtol=1e-9, atol=0)


def test_short_frame_tends_to_activity_times_its_length() -> None:
    activity = timeline_factors(Timeline(irradiation_s=30, delay_s=60, acquisition_s=0), "mizuno-brain")
    frame = timeline_factors(Timeline(irradiation_s=30, delay_s=60, acquisition_s=1e-7), "mizuno-brain")
    torch.testing.assert_close(frame / 1e-7, activity, rtol=1e-7, atol=0)


@given(
    model=st.sampled_from(washout_names()),
    irradiation_s=st.floats(0, 600),
    delay_s=st.floats(0, 3600),
    first_s=st.floats(0.1, 3000),
    second_s=st.floats(0.1, 3000),
)
@settings(max_examples=60, deadline=None)
def test_frames_add_up(model: str, irradiation_s: float, delay_s: float, first_s: float, second_s: float) -> None:
    def frame(start_s: float, length_s: float) -> torch.Tensor:
        return timeline_factors(Timeline(irradiation_s=irradiation_s, delay_s=start_s, acquisition_s=length_s), model)

    together = frame(delay_s, first_s + second_s)
    parts = frame(delay_s, first_s) + frame(delay_s + first_s, second_s)
    torch.testing.assert_close(parts, together, rtol=1e-9, atol=1e-300)


def test_irradiations_add_up() -> None:
    # A beam of 100 s is one of 40 s followed by one of 60 s, each weighted with the nuclei it made.
    def after(irradiation_s: float, delay_s: float) -> torch.Tensor:
        return timeline_factors(
            Timeline(irradiation_s=irradiation_s, delay_s=delay_s, acquisition_s=300), "toramatsu-o15"
        )

    torch.testing.assert_close(0.4 * after(40, 80) + 0.6 * after(60, 20), after(100, 20), rtol=1e-12, atol=0)


def test_waiting_twice_is_waiting_once_without_washout() -> None:
    # Semigroup of exponential decay: f(D1 + D2) = f(D1) exp(-lambda D2).
    once = timeline_factors(Timeline(irradiation_s=50, delay_s=700, acquisition_s=60))[0].numpy()
    first = timeline_factors(Timeline(irradiation_s=50, delay_s=200, acquisition_s=60))[0].numpy()
    np.testing.assert_allclose(first * np.exp(-DECAY * 500), once, rtol=1e-12)


def test_each_component_waits_as_a_semigroup() -> None:
    decay = torch.tensor([1e-3], dtype=torch.float64)
    rate = torch.tensor([[[[0.05]]]], dtype=torch.float64)
    share = torch.ones_like(rate)

    def at(delay_s: float) -> float:
        seconds = [torch.tensor([x], dtype=torch.float64) for x in (10.0, delay_s, 20.0)]
        return float(
            frame_factors(
                irradiation_s=seconds[0],
                delay_s=seconds[1],
                acquisition_s=seconds[2],
                fractions=share,
                rates_per_s=rate,
                decay_per_s=decay,
            )
        )

    assert at(70.0) == pytest.approx(at(30.0) * np.exp(-0.051 * 40.0), rel=1e-12)


def test_without_washout_every_nucleus_decays_once() -> None:
    for irradiation_s in (0.0, 1.0, 500.0):
        during = 1 - np.array(
            [float(mean_survival(torch.tensor(x, dtype=torch.float64))) for x in DECAY * irradiation_s]
        )
        later = timeline_factors(Timeline(irradiation_s=irradiation_s, delay_s=0, acquisition_s=1e7))[0].numpy()
        np.testing.assert_allclose(during + later, 1.0, rtol=1e-9)


@given(model=st.sampled_from(washout_names()), delay_s=st.floats(0, 7200), more_s=st.floats(1e-3, 3600))
@settings(max_examples=60, deadline=None)
def test_activity_only_falls_and_washout_only_takes_away(model: str, delay_s: float, more_s: float) -> None:
    now = timeline_factors(Timeline(irradiation_s=20, delay_s=delay_s, acquisition_s=0), model)
    later = timeline_factors(Timeline(irradiation_s=20, delay_s=delay_s + more_s, acquisition_s=0), model)
    still = timeline_factors(Timeline(irradiation_s=20, delay_s=delay_s, acquisition_s=0), "none")
    assert bool((later <= now).all())
    assert bool((now <= still * (1 + 1e-12)).all())
    assert bool((later >= 0).all())


@pytest.mark.parametrize("exponent", [-300, -40, -20, -8, -3, 0, 2])
def test_mean_survival_is_exact_for_every_size(exponent: int) -> None:
    # A cancelling 1 - exp(-x) would lose all digits for small x.
    x = 10.0**exponent
    series = 1 - x / 2 + x * x / 6 - x**3 / 24
    expected = series if x < 1e-2 else (1 - np.exp(-x)) / x
    assert float(mean_survival(torch.tensor(x, dtype=torch.float64))) == pytest.approx(expected, rel=1e-12 + x**4)
    assert float(mean_survival(torch.zeros((), dtype=torch.float64))) == 1.0


def test_rows_of_a_batch_are_the_single_time_lines() -> None:
    values = washout_model("parodi-hu")
    irradiation, delay, frame = (torch.tensor(x, dtype=torch.float64) for x in ([0, 60.0], [0, 300.0], [600.0, 0]))
    batch = frame_factors(
        irradiation_s=irradiation,
        delay_s=delay,
        acquisition_s=frame,
        fractions=torch.tensor(values.fractions[None]),
        rates_per_s=torch.tensor(values.rates_per_s[None]),
        decay_per_s=torch.tensor(DECAY),
    )
    for row, seconds in zip(batch, ((0, 0, 600), (60, 300, 0)), strict=True):
        single = timeline_factors(
            Timeline(irradiation_s=seconds[0], delay_s=seconds[1], acquisition_s=seconds[2]), "parodi-hu"
        )
        torch.testing.assert_close(row, single, rtol=1e-14, atol=0)


def test_positrons_are_decays_times_branching() -> None:
    timeline = Timeline(irradiation_s=0, delay_s=0, acquisition_s=100)
    ratio = timeline_factors(timeline, positrons=True)[0] / timeline_factors(timeline)[0]
    torch.testing.assert_close(ratio, positron_share())
    assert float(ratio[NUCLIDE_KEYS.index("k38")]) == pytest.approx(0.995)
