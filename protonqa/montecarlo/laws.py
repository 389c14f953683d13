"""The physics of a step, once, as scalar functions: energy loss, scattering, nuclear kinematics.

Energies MeV, path lengths g/cm2, angles rad, directions unit vectors.
"""

from __future__ import annotations

import math

from protonqa.montecarlo.compiling import law
from protonqa.physics.constants import PROTON_MASS_MEV

_M = PROTON_MASS_MEV


@law
def pv(energy):
    """Momentum times velocity, MeV."""
    return energy * (energy + 2.0 * _M) / (energy + _M)


@law
def straggled_loss(stopping, jump_rate, shape_rate, path, normal, u):
    """Energy lost on `path`: a drift plus an inverse-Gaussian process.

    Mean, variance and third cumulant are those of single collisions with free electrons (``cumulant_rates``). The
    process is infinitely divisible and never negative, so the law is the same for thick steps and for a voxel of air
    and does not depend on how a path is cut into steps.

    Parameters: `stopping` mean loss rate, `jump_rate` mean rate of the random part (MeV cm2/g), `shape_rate` its shape
    over mean per path (cm2/g), `normal` a standard normal and `u` a uniform number.
    Sampling: Michael, Schucany, Haas, Am Stat 30:88 (1976), written free of cancellation.
    """
    mean = jump_rate * path
    y = normal * normal / (2.0 * shape_rate * path)
    x = 1.0 / (1.0 + y + math.sqrt(y * (2.0 + y)))
    if u * (1.0 + x) > 1.0:
        x = 1.0 / x
    return (stopping - jump_rate) * path + mean * x


@law
def moliere_factor(pv_now, pv_first):
    """Gottschalk's f_dM; see ``protonqa.physics.scattering.moliere_correction``."""
    ratio = pv_now / pv_first
    loss = 1.0 - ratio * ratio
    if loss < 1e-12:
        loss = 1e-12
    log_loss = math.log10(loss)
    log_pv = math.log10(pv_now)
    factor = 0.5244 + 0.1975 * log_loss + 0.2320 * log_pv - 0.0098 * log_pv * log_loss
    return factor if factor > 0.0 else 0.0


@law
def turned(ux, uy, uz, cos_theta, sin_theta, cos_phi, sin_phi):
    """Direction after a turn by the polar angle theta and azimuth phi about the old direction."""
    # Branch-free orthonormal basis, continuous away from -z (Duff et al., J Comput Graph Tech 6:1, 2017).
    sign = 1.0 if uz >= 0.0 else -1.0
    a = -1.0 / (sign + uz)
    b = ux * uy * a
    tx = 1.0 + sign * ux * ux * a
    ty = sign * b
    tz = -sign * ux
    bx = b
    by = sign + uy * uy * a
    bz = -uy
    c = sin_theta * cos_phi
    s = sin_theta * sin_phi
    vx = c * tx + s * bx + cos_theta * ux
    vy = c * ty + s * by + cos_theta * uy
    vz = c * tz + s * bz + cos_theta * uz
    norm = 1.0 / math.sqrt(vx * vx + vy * vy + vz * vz)
    return vx * norm, vy * norm, vz * norm


@law
def pp_elastic(energy, u):
    """Proton-proton scattering, isotropic in the centre of mass.

    Returns both kinetic energies and the cosines of both laboratory angles.
    """
    first = 0.5 * energy * (1.0 + (2.0 * u - 1.0))
    second = energy - first
    return first, second, equal_mass_cosine(energy, first), equal_mass_cosine(energy, second)


@law
def equal_mass_cosine(energy, scattered):
    """Laboratory cosine of a proton of kinetic energy `scattered` out of p-p elastic scattering at `energy`."""
    cos2 = scattered * (energy + 2.0 * _M) / (energy * (scattered + 2.0 * _M)) if scattered > 0.0 else 0.0
    return math.sqrt(cos2) if cos2 < 1.0 else 1.0


@law
def nucleus_elastic(energy, mean_transfer, target_mass, u):
    """Elastic scattering on a nucleus of rest mass `target_mass` (MeV).

    The transferred energy is exponential with the given mean, cut at the kinematic maximum. Returns the energy given to
    the nucleus and the cosine of the proton's laboratory angle, exact relativistic kinematics.
    """
    total = energy + _M
    momentum2 = energy * (energy + 2.0 * _M)
    invariant = (total + target_mass) ** 2 - momentum2
    transfer_max = 2.0 * target_mass * momentum2 / invariant
    if mean_transfer <= 0.0:
        return 0.0, 1.0
    transfer = -mean_transfer * math.log(1.0 - u * (1.0 - math.exp(-transfer_max / mean_transfer)))
    left = energy - transfer
    momentum_left2 = left * (left + 2.0 * _M)
    recoil2 = transfer * (transfer + 2.0 * target_mass)
    cos_theta = (momentum2 + momentum_left2 - recoil2) / (2.0 * math.sqrt(momentum2 * momentum_left2))
    if cos_theta > 1.0:
        cos_theta = 1.0
    if cos_theta < -1.0:
        cos_theta = -1.0
    return transfer, cos_theta


@law
def emission_settings(energy):
    """Chance that an emitted particle is a proton, share of the others that escape as neutrals, spectrum power.

    Source: the emission chain for p-16O that open GPU codes fit to depth doses of Geant4 (moqui, MIT licence).
    """
    if energy <= 150.0:
        return 0.70, 0.83, 0.52
    if energy <= 200.0:
        return 0.72, 0.83, 0.45
    if energy <= 215.0:
        return 0.78, 0.90, 0.40
    return 0.78, 1.00, 0.40
