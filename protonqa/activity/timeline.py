"""From nuclei made to decays seen: irradiation, waiting, frame, physical decay and washout in closed form.

Nuclei are made at constant rate over the irradiation. Nuclei of component i disappear with
``lambda_i = lambda_phys + lambda_bio,i`` from the moment they are made (so during the irradiation too) and decay with
``lambda_phys``. Per nucleus made, with phi(x) = (1 - exp(-x)) / x:

    decays in the frame = lambda_phys A  sum_i M_i exp(-lambda_i D) phi(lambda_i I) phi(lambda_i A)
    activity at D (Bq)  = lambda_phys    sum_i M_i exp(-lambda_i D) phi(lambda_i I)

I irradiation, D delay after the end of the beam, A frame. These are *decays*: the share that emits a positron enters
only where positrons are asked for (`positron_share`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from protonqa.activity.washout import WashoutScenario
from protonqa.physics.nuclides import NUCLIDES, decay_constants_per_s
from protonqa.values import Timeline

# Far below any rate times any time, and yet a number that expm1 keeps.
_NOTHING = 1e-37


def mean_survival(x: Tensor) -> Tensor:
    """phi(x) = (1 - exp(-x)) / x for x >= 0, exact to rounding for every x; phi(0) = 1."""
    negative = x.neg().clamp_max_(-_NOTHING)
    return torch.expm1(negative).div_(negative)


def frame_factors(
    *,
    irradiation_s: Tensor,
    delay_s: Tensor,
    acquisition_s: Tensor,
    fractions: Tensor,
    rates_per_s: Tensor,
    decay_per_s: Tensor,
    group: Tensor | None = None,
) -> Tensor:
    """Decays in the frame (or Bq, where the frame is 0) per nucleus made.

    Parameters
    ----------
    irradiation_s, delay_s, acquisition_s : (n,)
    fractions, rates_per_s : (n or 1, n_tissue, n_group, n_component)
        Washout components; fractions sum to 1 over the last axis.
    decay_per_s : (n_nuclide,)
    group : (n_nuclide,) int or None
        Group whose washout each nuclide follows; None where each nuclide is a group of its own.

    Returns
    -------
    (n, n_tissue, n_nuclide)
        Decays per nucleus where ``acquisition_s`` > 0, else activity in Bq per nucleus at the end of the delay.
    """
    irradiation, delay, frame = (t[:, None, None] for t in (irradiation_s, delay_s, acquisition_s))
    irradiated, framed = bool((irradiation_s > 0).any()), bool((acquisition_s > 0).any())
    seen = torch.zeros((), dtype=decay_per_s.dtype, device=decay_per_s.device)
    for share, rate in zip(fractions.unbind(-1), rates_per_s.unbind(-1), strict=True):
        alive = share * torch.exp(-rate * delay)
        if group is not None:
            alive, rate = alive.index_select(-1, group), rate.index_select(-1, group)
        loss_per_s = decay_per_s + rate
        if irradiated:
            alive = alive * mean_survival(loss_per_s * irradiation)
        if framed:
            alive = alive * mean_survival(loss_per_s * frame)
        seen = seen + alive
    seconds = torch.where(frame > 0, frame, torch.ones_like(frame))
    return seen * (decay_per_s * torch.exp(-decay_per_s * delay) * seconds)


def timeline_factors(timeline: Timeline, washout: WashoutScenario | str = "none", *, positrons: bool = False) -> Tensor:
    """Factors of one time line, float64 on the CPU: (n_tissue, 7) for nominal washout or one row of a scenario.

    `positrons` True gives positrons instead of decays.
    """
    scenario = WashoutScenario(model=washout) if isinstance(washout, str) else washout
    fractions, rates = scenario.parameters()
    irradiation, delay, frame = (
        torch.tensor([seconds], dtype=torch.float64)
        for seconds in (timeline.irradiation_s, timeline.delay_s, timeline.acquisition_s)
    )
    factors = frame_factors(
        irradiation_s=irradiation,
        delay_s=delay,
        acquisition_s=frame,
        fractions=torch.from_numpy(fractions[:1]),
        rates_per_s=torch.from_numpy(rates[:1]),
        decay_per_s=torch.from_numpy(decay_constants_per_s()),
    )[0]
    return factors * positron_share() if positrons else factors


def positron_share() -> Tensor:
    """Positrons per decay in the order of ``NUCLIDE_KEYS``; shape (7,), float64."""
    return torch.tensor([n.beta_plus_fraction for n in NUCLIDES], dtype=torch.float64)
