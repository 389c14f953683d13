"""Nuclear events: what a proton does when it meets a nucleus.

p-p elastic scattering is isotropic in the centre of mass. Scattering on nuclei and break-up follow ICRU Report 63
(``protonqa.physics.nuclear_events``): multiplicities, spectra and angles of protons, deuterons and alpha particles,
which are transported, and the share of recoils, which stop on the spot. What an event leaves is binding energy and
neutrals (neutrons and photons), which leave the phantom; both are booked where they arise.
"""

from __future__ import annotations

import math

import numpy as np

from protonqa.montecarlo.compiling import law, rare
from protonqa.montecarlo.laws import elastic_recoil, forward_cosine, pp_elastic, turned
from protonqa.montecarlo.leg_tables import N_ROW, TARGET_STRIDE
from protonqa.montecarlo.philox import uniforms
from protonqa.montecarlo.tallies import BOOK_BINDING, BOOK_NEUTRAL, BOOK_SCALE, add_to, deposit

#: Kinds of particles on the stack.
PRIMARY, SECONDARY, DEUTERON, ALPHA = range(4)
#: Columns of the stack: position (3), direction (3), kinetic energy, kind.
ENERGY, KIND, N_STACK_COLUMN = 6, 7, 8
MAX_STACK = 64
#: Row behind the stack for a particle that has left the voxels.
LEFT = MAX_STACK
#: A secondary with less energy per nucleon stops where it is born (range in water 0.05 mm).
BORN_CUTOFF_MEV = 1.6
_ONE = np.uint64(1)


@law
def push(stack, n_stack, x, y, z, ux, uy, uz, energy, kind):
    """Put a secondary on the stack; False when it is full."""
    if n_stack >= MAX_STACK:
        return False
    stack[n_stack, 0], stack[n_stack, 1], stack[n_stack, 2] = x, y, z
    stack[n_stack, 3], stack[n_stack, 4], stack[n_stack, 5] = ux, uy, uz
    stack[n_stack, ENERGY], stack[n_stack, KIND] = energy, kind
    return True


@law
def energy_bracket(nodes, energy):
    """Index of the lower node and the place between it and the next (0 to 1), held at both ends."""
    low, high = 0, nodes.shape[0] - 1
    if energy >= nodes[high]:
        return high - 1, 1.0
    if energy <= nodes[0]:
        return 0, 0.0
    while high - low > 1:
        middle = (low + high) >> 1
        if nodes[middle] > energy:
            high = middle
        else:
            low = middle
    return low, (energy - nodes[low]) / (nodes[high] - nodes[low])


@law
def target_of(targets, m, node, column, u):
    """Element hit in an elastic (column 0) or non-elastic (column 1) event."""
    k = 0
    while k < targets.shape[1] - 1 and u > targets[m, k, node, column]:
        k += 1
    return k


@rare
def nuclear_event(
    stack, n_stack, scene, tables, tally, history, draw, key0, key1, drawn, x, y, z, ux, uy, uz, energy,
    root, m, rho, v, depth, generation,
):  # fmt: skip
    """One nuclear interaction. Returns draw, stack height, and the projectile's energy (0: absorbed) and direction."""
    u0, u1, u2, u3 = uniforms(history, draw, key0, key1, drawn)
    draw += _ONE
    row = int(root * tables.inverse_row_step + 0.5)
    ratio = tables.water_ratio[m * N_ROW + row]
    phi = 2.0 * math.pi * u1
    cos_phi, sin_phi = math.cos(phi), math.sin(phi)
    if u0 < tables.kinds[m, row, 0]:
        first, second, cos1, cos2 = pp_elastic(energy, u2)
        sin1, sin2 = math.sqrt(1.0 - cos1 * cos1), math.sqrt(1.0 - cos2 * cos2)
        wx, wy, wz = turned(ux, uy, uz, cos2, sin2, -cos_phi, -sin_phi)
        if second > BORN_CUTOFF_MEV and push(stack, n_stack, x, y, z, wx, wy, wz, second, SECONDARY):
            n_stack += 1
        else:
            deposit(tally, scene, v, generation, depth, second, ratio, rho)
        ux, uy, uz = turned(ux, uy, uz, cos1, sin1, cos_phi, sin_phi)
        return draw, n_stack, first, ux, uy, uz
    node = min(row // TARGET_STRIDE, tables.targets.shape[2] - 1)
    if u0 < tables.kinds[m, row, 1]:
        k = target_of(tables.targets, m, node, 0, u3)
        cos_cm = elastic_cosine(tables, tables.event_row[k], energy, u2)
        given, cos1 = elastic_recoil(energy, tables.mass[k], cos_cm)
        deposit(tally, scene, v, generation, depth, given, ratio, rho)
        sin1 = math.sqrt(max(1.0 - cos1 * cos1, 0.0))
        ux, uy, uz = turned(ux, uy, uz, cos1, sin1, cos_phi, sin_phi)
        return draw, n_stack, energy - given, ux, uy, uz
    k = tables.event_row[target_of(tables.targets, m, node, 1, u3)]
    draw, n_stack = break_up(
        stack, n_stack, scene, tables, tally, history, draw, key0, key1, drawn, x, y, z, ux, uy, uz, energy, k,
        ratio, rho, v, depth, generation,
    )  # fmt: skip
    return draw, n_stack, 0.0, ux, uy, uz


@law
def elastic_cosine(tables, k, energy, u):
    """Cosine of the angle in the centre of mass of elastic scattering on element row `k`."""
    i, w = energy_bracket(tables.elastic_energy, energy)
    place = u * (tables.elastic_cosine.shape[2] - 1)
    j = int(place)
    f = place - j
    low = (1.0 - f) * tables.elastic_cosine[k, i, j] + f * tables.elastic_cosine[k, i, j + 1]
    high = (1.0 - f) * tables.elastic_cosine[k, i + 1, j] + f * tables.elastic_cosine[k, i + 1, j + 1]
    return (1.0 - w) * low + w * high


@law
def break_up(
    stack, n_stack, scene, tables, tally, history, draw, key0, key1, drawn, x, y, z, ux, uy, uz, energy, k,
    ratio, rho, v, depth, generation,
):  # fmt: skip
    """Non-elastic event on element row `k`.

    Charged particles are drawn one by one from their spectra: energy is conserved in the mean over events, not in each.
    Neutrals are booked as the mean share of the tables, not as what is left: the energy book closes only if the
    sampling of the charged particles is right.
    """
    u0, u1, u2, u3 = uniforms(history, draw, key0, key1, drawn)
    draw += _ONE
    i, w = energy_bracket(tables.event_energy, energy)
    if u0 < w:
        i += 1
    local = tables.recoil[k, i] * energy
    bound, born = 0.0, 0
    for kind in range(3):
        u = u1 if kind == 0 else (u2 if kind == 1 else u3)
        for _ in range(int(tables.multiplicity[k, i, kind] + u)):
            a0, a1, a2, _ = uniforms(history, draw, key0, key1, drawn)
            draw += _ONE
            place = a0 * tables.slope.shape[3]
            j = int(place)
            low = tables.edge[k, i, kind, j]
            emitted = energy * (low + (place - j) * (tables.edge[k, i, kind, j + 1] - low))
            # The first particle takes the incoming proton with it; every further one costs its separation energy.
            cost = tables.first_cost[k, kind] if born == 0 else tables.further_cost[k, kind]
            bound += cost
            born += 1
            cosine = forward_cosine(tables.slope[k, i, kind, j], a1)
            sine = math.sqrt(max(1.0 - cosine * cosine, 0.0))
            phi = 2.0 * math.pi * a2
            wx, wy, wz = turned(ux, uy, uz, cosine, sine, math.cos(phi), math.sin(phi))
            mass_number = 1.0 if kind == 0 else (2.0 if kind == 1 else 4.0)
            if emitted > BORN_CUTOFF_MEV * mass_number and push(
                stack, n_stack, x, y, z, wx, wy, wz, emitted, SECONDARY + kind
            ):
                n_stack += 1
            else:
                local += emitted
    deposit(tally, scene, v, generation, depth, local, ratio, rho)
    add_to(tally.book, BOOK_BINDING, np.int64(math.floor(bound * BOOK_SCALE + 0.5)))
    neutral = tables.neutral[k, i] * energy - bound
    add_to(tally.book, BOOK_NEUTRAL, np.int64(math.floor(neutral * BOOK_SCALE + 0.5)))
    return draw, n_stack
