"""Runs as batches: same bits however the work is shared, statistical error, stop rule, cancel and resume."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.errors import Cancelled, InputError
from protonqa.montecarlo import simulation
from protonqa.montecarlo.simulation import simulate

ARRAYS = (
    "dose_water_gy",
    "dose_medium_gy",
    "nuclei",
    "fine_idd_mev_per_mm",
    "fine_dose_mev_cm2_per_g",
    "channels_per_mm",
    "primary_channels_per_mm",
)


def same_bits(one, other, *more: str) -> bool:
    same = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in (*ARRAYS, *more))
    return same and one.energy_balance == other.energy_balance


@pytest.fixture
def coarse(make_medium):
    return make_medium(size_mm=(40, 40, 60), spacing_mm=(4.0, 4.0, 2.0))


def test_same_seed_gives_the_same_bits_for_any_number_of_threads(make_medium, make_beam):
    medium = make_medium("bone")
    source = make_beam(medium, 90.0, sigma_mm=3.0, spread_percent=1.0)
    runs = [
        simulate(medium=medium, source=source, protons=6000, seed=7, threads=n, beam_quality=True, uncertainty=True)
        for n in (1, 2, 3)
    ]
    more = ("let_kev_per_um", "mean_energy_mev", "dose_error")
    assert same_bits(runs[0], runs[1], *more)
    assert same_bits(runs[0], runs[2], *more)
    other = simulate(medium=medium, source=source, protons=6000, seed=8, threads=2)
    assert not np.array_equal(runs[0].dose_water_gy, other.dose_water_gy)


def test_batches_do_not_change_the_result(coarse, make_beam):
    """A run that states its error is the same run: batches cut the histories, nothing else."""
    source = make_beam(coarse, 70.0, sigma_mm=3.0)
    plain = simulate(medium=coarse, source=source, protons=5003, seed=2)
    stated = simulate(medium=coarse, source=source, protons=5003, seed=2, uncertainty=True)
    assert same_bits(plain, stated)
    assert plain.dose_error is None
    assert stated.dose_error is not None


def high_dose(result):
    return result.dose_water_gy > 0.5 * result.dose_water_gy.max()


@pytest.mark.parametrize("protons", [20000, 20011])
def test_the_stated_error_is_the_spread_over_seeds(coarse, make_beam, protons):
    """Over 16 seeds and the voxels of the high-dose region; also where the last batch is not a whole one."""
    source = make_beam(coarse, 70.0, sigma_mm=4.0)
    runs = [
        simulate(medium=coarse, source=source, protons=protons, seed=seed, uncertainty=True) for seed in range(100, 116)
    ]
    mask = high_dose(runs[0])
    assert mask.sum() > 10
    doses = np.array([run.dose_medium_gy[mask] for run in runs], dtype=np.float64)
    spread = doses.std(axis=0, ddof=1) / doses.mean(axis=0)
    stated = np.sqrt(np.mean([run.dose_error[mask].astype(np.float64) ** 2 for run in runs], axis=0))
    # Each spread is known to 18 %, their mean square to a few percent.
    assert np.sqrt(np.mean(spread**2) / np.mean(stated**2)) == pytest.approx(1.0, abs=0.12)
    assert runs[0].high_dose_error_percent == pytest.approx(100.0 * float(stated.mean()), rel=0.15)


def test_the_error_falls_with_the_root_of_the_protons(coarse, make_beam):
    source = make_beam(coarse, 70.0, sigma_mm=4.0)
    few, many = (simulate(medium=coarse, source=source, protons=n, seed=3, uncertainty=True) for n in (5000, 80000))
    mask = many.dose_water_gy > 0.2 * many.dose_water_gy.max()
    ratio = few.dose_error[mask].mean() / many.dose_error[mask].mean()
    assert ratio == pytest.approx(4.0, rel=0.12)


def test_a_run_stops_when_its_error_has_come_down(coarse, make_beam):
    source = make_beam(coarse, 70.0, sigma_mm=4.0)
    run = simulate(medium=coarse, source=source, protons=200_000, seed=3, until_percent=1.2)
    assert run.protons < 200_000
    assert run.high_dose_error_percent <= 1.2
    longer = simulate(medium=coarse, source=source, protons=40_000, seed=3, until_percent=0.1)
    assert longer.protons == 40_000
    assert longer.high_dose_error_percent > 0.1
    # What a stopped run gives is what that many protons give.
    assert same_bits(run, simulate(medium=coarse, source=source, protons=run.protons, seed=3))


class StopAfter:
    """Answers True from the n-th question on."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("uncertainty", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_cancelled_run_goes_on_to_the_same_bits(coarse, make_beam, tmp_path, monkeypatch, uncertainty, threads):
    monkeypatch.setattr(simulation, "_KEEP_EVERY_S", 0.0)
    source, kept = make_beam(coarse, 70.0, sigma_mm=3.0), tmp_path / "state.npz"
    request = {"medium": coarse, "source": source, "protons": 30_011, "seed": 4, "uncertainty": uncertainty}
    whole = simulate(**request)
    with pytest.raises(Cancelled):
        simulate(**request, threads=threads, resume_file=kept, cancelled=StopAfter(17))
    assert kept.exists()
    seen = []
    resumed = simulate(**request, threads=3 - threads, resume_file=kept, progress=lambda done, _: seen.append(done))
    assert 0 < seen[0] - 2 * 1024 < 30_011, "it began at the start again"
    assert same_bits(whole, resumed)
    if uncertainty:
        assert np.array_equal(whole.dose_error, resumed.dose_error)
    assert not kept.exists()


def kept_state(medium, source, path, monkeypatch):
    monkeypatch.setattr(simulation, "_KEEP_EVERY_S", 0.0)
    with pytest.raises(Cancelled):
        simulate(
            medium=medium, source=source, protons=20_000, seed=4, threads=1, resume_file=path, cancelled=StopAfter(9)
        )
    assert path.exists()


def test_the_state_of_another_run_is_refused(coarse, make_medium, make_beam, tmp_path, monkeypatch):
    source, path = make_beam(coarse, 70.0, sigma_mm=3.0), tmp_path / "state.npz"
    kept_state(coarse, source, path, monkeypatch)
    before = path.read_bytes()
    bone = make_medium("bone", size_mm=(40, 40, 60), spacing_mm=(4.0, 4.0, 2.0))
    same = {"medium": coarse, "source": source, "protons": 20_000, "seed": 4}
    others = (
        {"seed": 5},
        {"protons": 20_001},
        {"nuclear": False},
        {"uncertainty": True},
        {"beam_quality": True},
        {"medium": bone},
        {"source": make_beam(coarse, 70.5, sigma_mm=3.0)},
        {"source": make_beam(coarse, 70.0, sigma_mm=3.1)},
    )
    for other in others:
        with pytest.raises(InputError, match="belongs to another simulation") as told:
            simulate(**{**same, **other}, resume_file=path)
        assert "\n" not in str(told.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("harm", ["empty", "cut", "text", "a missing part", "a part of another shape"])
def test_a_damaged_state_is_one_clear_line(coarse, make_beam, tmp_path, monkeypatch, harm):
    source, path = make_beam(coarse, 70.0, sigma_mm=3.0), tmp_path / "state.npz"
    kept_state(coarse, source, path, monkeypatch)
    whole = path.read_bytes()
    if harm in ("empty", "cut", "text"):
        path.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "text": b"protons\n"}[harm])
    else:
        with np.load(path, allow_pickle=False) as kept:
            parts = dict(kept)
        if harm == "a missing part":
            del parts["fine"]
        else:
            parts["coarse"] = parts["coarse"][:-1]
        np.savez(path, **parts)
    with pytest.raises(InputError, match="cannot be read") as told:
        simulate(medium=coarse, source=source, protons=20_000, seed=4, resume_file=path)
    assert "state.npz" in str(told.value)
    assert "\n" not in str(told.value)


def test_cancel_stops_between_chunks_and_returns_nothing(make_medium, make_beam):
    medium = make_medium()
    with pytest.raises(Cancelled):
        simulate(medium=medium, source=make_beam(medium, 70.0), protons=50000, seed=1, cancelled=lambda: True)


def test_progress_reaches_the_end(make_medium, make_beam):
    medium = make_medium()
    seen = []
    simulate(
        medium=medium, source=make_beam(medium, 30.0), protons=5000, seed=1, progress=lambda a, b: seen.append((a, b))
    )
    assert seen[-1] == (5000, 5000)


def test_a_progress_callback_that_fails_ends_the_run_and_is_heard(make_medium, make_beam):
    medium = make_medium()

    def fail(_done, _of):
        raise RuntimeError("the listener failed")

    for threads in (1, 2):
        with pytest.raises(RuntimeError, match="listener failed"):
            simulate(medium=medium, source=make_beam(medium, 30.0), protons=20000, threads=threads, progress=fail)


def test_too_little_memory_is_said_before_the_run_begins(make_medium, make_beam, monkeypatch):
    medium = make_medium()
    monkeypatch.setattr(simulation, "available_bytes", lambda: 2**20)
    with pytest.raises(InputError, match="do not fit into memory") as told:
        simulate(medium=medium, source=make_beam(medium, 70.0), protons=10)
    assert "GiB needed" in str(told.value)
