"""The physics of a step, once, as scalar functions: energy loss, scattering, nuclear kinematics.

Energies MeV, path lengths g/cm2, angles rad, directions unit vectors.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from protonqa.montecarlo.compiling import law
from protonqa.physics.constants import PROTON_MASS_MEV

_M = PROTON_MASS_MEV
#: Steps of the table of logarithms, and the factor by which small numbers are brought into it.
N_LOG = 1024
LOG_LEVEL = 64.0
LOG_SHIFT = math.log10(LOG_LEVEL)


@law
def pv(energy):
    """Momentum times velocity, MeV."""
    return energy * (energy + 2.0 * _M) / (energy + _M)


@law
def fluctuation(shape, normal, u):
    """Energy lost to the fluctuating part of the stopping, over its mean: an inverse-Gaussian number of mean 1.

    Mean, variance and third cumulant of drift and fluctuation together are those of single collisions with free
    electrons (``leg_tables.cumulant_rates``). The process is infinitely divisible and never negative, so the law is the
    same for thick legs and for a voxel of air and does not depend on how a path is cut.

    Parameters: `shape` its shape over its mean, `normal` a standard normal and `u` a uniform number.
    Sampling: Michael, Schucany, Haas, Am Stat 30:88 (1976).
    """
    y = normal * normal / (2.0 * shape)
    root = math.sqrt(y * (2.0 + y))
    high = 1.0 + y + root
    # One of a pair of roots, high and 1 / high, the smaller with probability 1 / (1 + it).
    return high if u * (high + 1.0) > high else 1.0 / high


@law
def log10_of(x, logs):
    """log10 of a number of 1e-14 to 1, by interpolation of ``log_table`` (within 1e-3)."""
    shift = 0.0
    while x < 1.0 / LOG_LEVEL:
        x *= LOG_LEVEL
        shift -= LOG_SHIFT
    place = x * N_LOG
    i = int(place)
    low = logs[np.uint64(i)]
    return shift + low + (place - i) * (logs[np.uint64(i + 1)] - low)


def log_table() -> NDArray[np.float64]:
    """log10 of v in equal steps up to just above 1."""
    return np.log10(np.maximum(np.arange(N_LOG + 2), 0.5) / N_LOG)


@law
def moliere_factor(ratio, log_pv_now, logs):
    """Gottschalk's f_dM; see ``protonqa.physics.scattering.moliere_correction``. `ratio` is pv over its first value."""
    loss = 1.0 - ratio * ratio
    if loss < 1e-12:
        loss = 1e-12
    log_loss = log10_of(loss, logs)
    factor = 0.5244 + 0.1975 * log_loss + 0.2320 * log_pv_now - 0.0098 * log_pv_now * log_loss
    return factor if factor > 0.0 else 0.0


@law
def kicked(ux, uy, uz, a, b):
    """Direction after two small projected turns of `a` and `b` (rad)."""
    sign = 1.0 if uz >= 0.0 else -1.0
    c = -1.0 / (sign + uz)
    d = ux * uy * c
    vx = ux + a * (1.0 + sign * ux * ux * c) + b * d
    vy = uy + a * sign * d + b * (sign + uy * uy * c)
    vz = uz - a * sign * ux - b * uy
    # The turns are at right angles to a unit vector: the new length is sqrt(1 + q). The series is right to 3e-7.
    q = a * a + b * b
    norm = 1.0 - q * (0.5 - q * (0.375 - 0.3125 * q))
    if q > 0.03:
        norm = 1.0 / math.sqrt(vx * vx + vy * vy + vz * vz)
    return vx * norm, vy * norm, vz * norm


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
def elastic_recoil(energy, target_mass, cos_cm):
    """Elastic scattering on a nucleus of rest mass `target_mass` (MeV), with the cosine `cos_cm` in the CM frame.

    Returns the energy given to the nucleus and the cosine of the proton's laboratory angle: relativistic kinematics.
    """
    total = energy + _M
    momentum2 = energy * (energy + 2.0 * _M)
    invariant = (total + target_mass) ** 2 - momentum2
    # Momentum transfer squared is 2 p*^2 (1 - cos), with p* the momentum in the centre of mass.
    transfer = target_mass * momentum2 / invariant * (1.0 - cos_cm)
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
def forward_cosine(slope, u):
    """Cosine of a polar angle whose density goes as exp(slope * cosine)."""
    if abs(slope) < 1e-3:
        return 2.0 * u - 1.0
    cosine = 1.0 + math.log(u + (1.0 - u) * math.exp(-2.0 * slope)) / slope
    return min(max(cosine, -1.0), 1.0)
