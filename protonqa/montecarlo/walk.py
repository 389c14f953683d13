"""The walk of one particle through the voxels.

A walk is cut twice. Visits are its stretches inside one voxel: there it loses energy, with its fluctuations, and
tallies are taken. Legs are stretches of some millimetres between two deflections. The state is the residual range in
water r, so that a visit costs no more than r -= path * (stopping ratio), and neither voxel size nor leg length moves
the range.

The voxel index is integer state: crossing a face changes it by one, so that a step of rounding length can never stall.
"""

from __future__ import annotations

import math

import numpy as np

from protonqa.montecarlo.compiling import law
from protonqa.montecarlo.events import DEUTERON, ENERGY, KIND, LEFT, PRIMARY, nuclear_event
from protonqa.montecarlo.laws import fluctuation, kicked, moliere_factor
from protonqa.montecarlo.leg_tables import (
    DRIFT,
    JUMP,
    N_LEG,
    N_ROW,
    RATIO,
    SCATTER,
    SHAPE,
    SIGMA,
)
from protonqa.montecarlo.philox import normal_and_rest, normal_of, uniforms
from protonqa.montecarlo.scene import DENSITY_MASK, DENSITY_STEP, MATERIAL_SHIFT
from protonqa.montecarlo.scoring import (
    BASE,
    DEPTH_FIRST,
    DEPTH_LAST,
    N_NUMBER,
    N_PLACE,
    PARTICLE,
    PATH,
    R_FIRST,
    R_LAST,
    WORD,
    energy_of,
    mass_number_of,
    score_visits,
)
from protonqa.montecarlo.tallies import BOOK_EVENTS, BOOK_STUCK, add_to, at, deposit, prefetch, voxel_base

#: Residual range of a 0.5 MeV proton in water (g/cm2): the cut-off.
CUTOFF_RANGE = 8.9e-4
#: Length of a step of multiple scattering (g/cm2 of water): at most, as a share of the residual range and of the path
#: so far, at least.
STEP_LIMIT = 2.0
STEP_FRACTION = 0.4
STEP_GROWTH = 0.5
STEP_FLOOR = 0.06
#: Longest visit: a share of the residual range, and how short it may get (g/cm2 of water).
VISIT_LIMIT = 0.3
VISIT_FLOOR = 0.004
# A leg's end inside a voxel closes the visit where the visit is no longer short against the residual range.
VISIT_FRACTION = 0.06
# Rounding at a face leaves steps of no length, in which no loss can be drawn.
SHORTEST_MM = 1e-9
SHORTEST = 1e-10
MAX_LEGS = 100_000
FAR = 1e30
_ONE = np.uint64(1)


@law
def range_of(energy, tables):
    """Residual range (g/cm2) whose tabulated energy is `energy`: the exact inverse of ``energy_of``."""
    low, high = 0, tables.energy.shape[0] - 1
    if energy >= tables.energy[high]:
        return (high / tables.inverse_energy_step) ** 2
    while high - low > 1:
        middle = (low + high) >> 1
        if tables.energy[middle] > energy:
            high = middle
        else:
            low = middle
    place = low + (energy - tables.energy[low]) / (tables.energy[high] - tables.energy[low])
    return (place / tables.inverse_energy_step) ** 2


@law
def row_of(r, inverse_step):
    """Nearest row of the tables to a residual range; the first for ranges below zero."""
    return int(math.sqrt(r) * inverse_step + 0.5) if r > 0.0 else 0


@law
def walk(stack, slot, scene, tables, tally, history, draw, key0, key1, drawn, visits):
    """Walk the particle in stack[slot] to its end; secondaries are pushed at `slot` and above.

    Returns the next free draw, the new stack height, and whether the particle left the voxels: stack[LEFT] then holds
    it as it left.
    """
    medium, leg, quantiles = scene.medium, tables.leg, tables.quantiles
    nx, ny, nz, sx, sy, sz = scene.nx, scene.ny, scene.nz, scene.sx, scene.sy, scene.sz
    numbers, places = visits.numbers, visits.places
    noted, room = visits.count[0], places.shape[0] // N_PLACE
    x, y, z = stack[slot, 0], stack[slot, 1], stack[slot, 2]
    ux, uy, uz = stack[slot, 3], stack[slot, 4], stack[slot, 5]
    kind = int(stack[slot, KIND])
    n_stack = slot
    mass_number = mass_number_of(kind)
    # Charge squared over mass number: residual range used up per water equivalent path; deflection goes with charge
    # over mass at the same velocity.
    slow = 0.5 if kind == DEUTERON else 1.0
    deflect = 1.0 if kind < DEUTERON else 0.25
    proton = kind < DEUTERON
    generation = 0 if kind == PRIMARY else 1
    r = range_of(stack[slot, ENERGY] / mass_number, tables)
    energy = 0.0
    ix = min(max(int(x / sx), 0), nx - 1)
    iy = min(max(int(y / sy), 0), ny - 1)
    iz = min(max(int(z / sz), 0), nz - 1)
    cell = ix * scene.jump_x + iy * scene.jump_y + iz * scene.jump_z
    word = int(medium[at(cell)])
    m, rho = word >> MATERIAL_SHIFT, (word & DENSITY_MASK) * DENSITY_STEP
    v = scene.offset_x[ix] + scene.offset_y[iy] + scene.offset_z[iz]
    base = voxel_base(tally, v, scene.n_slot) if v >= 0 else -1
    last_slot = scene.n_slot - 1
    i_end = row_of(r, tables.inverse_row_step)
    inverse_pv_first = 1.0 / tables.pv[at(i_end)]
    tau = FAR
    if proton:
        u0, _, _, _ = uniforms(history, draw, key0, key1, drawn)
        draw += _ONE
        tau = -math.log(u0)
    depth = x * scene.ax + y * scene.ay + z * scene.az - scene.depth_start
    visit_depth, visit_r = depth, r
    angle2 = 0.0
    path_visit, water_visit = 0.0, 0.0
    state, spare, travelled, rest, held = 0, 0, 0.0, 0.0, -1.0
    u1, u2, u3 = 0.0, 0.0, 0.0
    for legs in range(MAX_LEGS + 1):
        if legs == MAX_LEGS:
            add_to(tally.book, BOOK_STUCK, 1)
            energy = mass_number * energy_of(math.sqrt(r), tables.energy, tables.inverse_energy_step)
            break
        # A step of multiple scattering is deflected once, at a random point of it (Fernandez-Varea et al., NIM B
        # 73:447, 1993): that keeps mean and variance of angle and displacement. A leg joins two such points.
        kick_a, kick_b, hinge, fresh = uniforms(history, draw, key0, key1, drawn)
        draw += _ONE
        # The legs that might end before the same face share one number.
        chance = held if held >= 0.0 else fresh
        held = -1.0
        length = min(min(STEP_LIMIT, STEP_FRACTION * r), STEP_GROWTH * travelled)
        if length < STEP_FLOOR:
            length = STEP_FLOOR
        left = rest + hinge * length
        rest = (1.0 - hinge) * length
        travelled += left
        # The leg's rates are those of the row midway between its two ends.
        i_start = i_end
        i_end = row_of(r - slow * left, tables.inverse_row_step)
        i_leg = (i_start + i_end) >> 1
        ratio = tables.pv[at(i_end)] * inverse_pv_first
        spread = deflect * moliere_factor(ratio, tables.log_pv[at(i_end)], tables.logs)
        face_x, face_y, face_z, next_x, next_y, next_z = FAR, FAR, FAR, FAR, FAR, FAR
        if abs(ux) > 1e-12:
            inverse = 1.0 / ux
            next_x = abs(sx * inverse)
            face_x = max(((ix + 1) * sx - x if ux > 0.0 else ix * sx - x) * inverse, 0.0)
        if abs(uy) > 1e-12:
            inverse = 1.0 / uy
            next_y = abs(sy * inverse)
            face_y = max(((iy + 1) * sy - y if uy > 0.0 else iy * sy - y) * inverse, 0.0)
        if abs(uz) > 1e-12:
            inverse = 1.0 / uz
            next_z = abs(sz * inverse)
            face_z = max(((iz + 1) * sz - z if uz > 0.0 else iz * sz - z) * inverse, 0.0)
        climb = ux * scene.ax + uy * scene.ay + uz * scene.az
        gone = 0.0
        state = 0  # 0 goes on, 1 leg ends, 2 event, 3 stops, 4 leaves
        while state == 0:
            row = (m * N_ROW + i_leg) * N_LEG
            mass_per_mm = rho * 0.1
            water_per_mm = mass_per_mm * leg[at(row + RATIO)]
            crossing = 2
            face = face_z
            if face_x < face:
                face, crossing = face_x, 0
            if face_y < face:
                face, crossing = face_y, 1
            t = face - gone
            if t < SHORTEST_MM:
                t = SHORTEST_MM
            water = t * water_per_mm
            # A leg ends at one of the faces before and behind its length, drawn so that on average it ends where it
            # should; inside a voxel that is long against the residual range: the depth dose would show steps.
            if water > left:
                if left <= SHORTEST:
                    break
                if water > VISIT_FRACTION * r:
                    water = left
                    t = water / water_per_mm
                    state = 1
                elif chance * water > left:
                    held = chance
                    break
            if water > VISIT_FLOOR and water > VISIT_LIMIT * r:
                water = max(VISIT_FLOOR, VISIT_LIMIT * r)
                t = water / water_per_mm
                state, crossing = 0, 3
            hazard = t * mass_per_mm * leg[at(row + SIGMA)]
            if hazard >= tau:
                t *= tau / hazard
                water = t * water_per_mm
                hazard = 0.0
                tau = FAR
                state = 2
            if spare > 0:
                u0, u1, u2 = u1, u2, u3
                spare -= 1
            else:
                u0, u1, u2, u3 = uniforms(history, draw, key0, key1, drawn)
                draw += _ONE
                spare = 3
            normal, pick = normal_and_rest(u0, quantiles)
            shape = leg[at(row + SHAPE)] * mass_number * slow * water
            lost = leg[at(row + JUMP)] * fluctuation(shape, normal, pick)
            used = water * slow * (leg[at(row + DRIFT)] + lost)
            if r - used <= CUTOFF_RANGE:
                if used > r:
                    t *= r / used
                    water = t * water_per_mm
                r = 0.0
                state = 3
            else:
                r -= used
                tau -= hazard
            gone += t
            left -= water
            path = t * mass_per_mm
            path_visit += path
            water_visit += water
            angle2 += path * leg[at(row + SCATTER)]
            if state != 1 or water_visit > VISIT_FRACTION * r:
                # The visit ends.
                here = depth + gone * climb
                p = noted * N_NUMBER
                numbers[at(p + R_FIRST)], numbers[at(p + R_LAST)], numbers[at(p + PATH)] = visit_r, r, path_visit
                numbers[at(p + DEPTH_FIRST)], numbers[at(p + DEPTH_LAST)] = visit_depth, here
                p = noted * N_PLACE
                places[at(p + WORD)], places[at(p + BASE)], places[at(p + PARTICLE)] = word, base, kind
                noted += 1
                if base >= 0:
                    prefetch(tally.voxels, base)
                    prefetch(tally.voxels, base + last_slot)
                if noted == room:
                    visits.count[0] = noted
                    score_visits(visits, scene, tables, tally)
                    noted = 0
                visit_depth, visit_r = here, r
                path_visit, water_visit = 0.0, 0.0
            if state == 0:
                if crossing == 2:
                    forth = 1 if uz > 0.0 else -1
                    iz += forth
                    cell += forth * scene.jump_z
                    face_z += next_z
                    if iz < 0 or iz >= nz:
                        state = 4
                elif crossing == 3:
                    continue
                elif crossing == 0:
                    forth = 1 if ux > 0.0 else -1
                    ix += forth
                    cell += forth * scene.jump_x
                    face_x += next_x
                    if ix < 0 or ix >= nx:
                        state = 4
                else:
                    forth = 1 if uy > 0.0 else -1
                    iy += forth
                    cell += forth * scene.jump_y
                    face_y += next_y
                    if iy < 0 or iy >= ny:
                        state = 4
                if state == 0:
                    word = int(medium[at(cell)])
                    m, rho = word >> MATERIAL_SHIFT, (word & DENSITY_MASK) * DENSITY_STEP
                    v = scene.offset_x[at(ix)] + scene.offset_y[at(iy)] + scene.offset_z[at(iz)]
                    base = voxel_base(tally, v, scene.n_slot) if v >= 0 else -1
                    chance = fresh
        x += gone * ux
        y += gone * uy
        z += gone * uz
        depth += gone * climb
        if state >= 3:
            break
        if state == 2:
            add_to(tally.book, BOOK_EVENTS, 1)
            root = math.sqrt(r)
            energy = energy_of(root, tables.energy, tables.inverse_energy_step)
            draw, n_stack, energy, ux, uy, uz = nuclear_event(
                stack, n_stack, scene, tables, tally, history, draw, key0, key1, drawn, x, y, z, ux, uy, uz,
                energy, root, m, rho, v, depth, generation,
            )  # fmt: skip
            if energy <= 0.0:
                break
            r = range_of(energy, tables)
            visit_r, i_end = r, row_of(r, tables.inverse_row_step)
            if r <= CUTOFF_RANGE:
                break
            energy = 0.0
            u0, _, _, _ = uniforms(history, draw, key0, key1, drawn)
            draw += _ONE
            tau = -math.log(u0)
        else:
            # The kick stands for the whole step: for its rest in advance, which then pays it back, and not for what
            # was walked beyond it.
            rest += left
            row = (m * N_ROW + row_of(r - 0.5 * slow * rest, tables.inverse_row_step)) * N_LEG
            ahead = rest * leg[at(row + SCATTER)] / leg[at(row + RATIO)]
            if angle2 + ahead > 0.0:
                sigma = math.sqrt((angle2 + ahead) * spread)
                ux, uy, uz = kicked(
                    ux, uy, uz, sigma * normal_of(kick_a, quantiles), sigma * normal_of(kick_b, quantiles)
                )
                angle2 = -ahead
    visits.count[0] = noted
    if state == 4:
        stack[LEFT, 0], stack[LEFT, 1], stack[LEFT, 2] = x, y, z
        stack[LEFT, 3], stack[LEFT, 4], stack[LEFT, 5] = ux, uy, uz
        stack[LEFT, ENERGY] = mass_number * energy_of(math.sqrt(r), tables.energy, tables.inverse_energy_step)
        stack[LEFT, KIND] = kind
        return draw, n_stack, True
    if energy > 0.0:
        ratio = tables.water_ratio[at(m * N_ROW)]
        deposit(tally, scene, v, generation, depth, energy, ratio, rho)
    return draw, n_stack, False
