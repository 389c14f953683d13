"""The walk of one particle through the voxels.

A walk is cut twice. Visits are its stretches inside one voxel: there it loses energy, with its fluctuations, and tallies
are taken. Legs are stretches of some millimetres between two deflections. The state is the residual range in water r,
so that a visit costs no more than r -= path * (stopping ratio), and neither voxel size nor leg length moves the range.

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
    WATER_RATIO,
)
from protonqa.montecarlo.philox import normal_of, uniforms
from protonqa.montecarlo.scene import DENSITY_MASK, DENSITY_STEP, MATERIAL_SHIFT
from protonqa.montecarlo.tallies import (
    BOOK_DEPOSIT,
    BOOK_EVENTS,
    BOOK_SCALE,
    BOOK_STUCK,
    BOOK_VISITS,
    ENERGY_SCALE,
    MEDIUM_SLOT,
    WATER_SLOT,
    add_to,
    at,
    deposit,
    fixed,
    score_depth,
    score_nuclides,
    score_quality,
    voxel_base,
)

#: Residual range of a 0.5 MeV proton in water (g/cm2): the cut-off.
CUTOFF_RANGE = 8.9e-4
#: Mean length of a leg (g/cm2 of water): at most, as a share of the residual range and of the path so far, at least.
LEG_LIMIT = 0.6
LEG_FRACTION = 0.2
LEG_GROWTH = 0.3
LEG_FLOOR = 0.02
# How far beyond its length a leg may run to end at a voxel face, as a share of it.
LEG_SLACK = 0.4
# A leg's end inside a voxel closes the visit where the visit is no longer short against the residual range.
VISIT_FRACTION = 0.06
# Rounding at a face leaves steps of no length, in which no loss can be drawn.
SHORTEST_MM = 1e-9
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
def energy_of(root, energy_table, inverse_step):
    """Energy (MeV) of a proton with residual range root^2 (g/cm2)."""
    place = root * inverse_step
    i = int(place)
    low = energy_table[at(i)]
    return low + (place - i) * (energy_table[at(i + 1)] - low)


@law
def row_of(r, inverse_step):
    """Nearest row of the tables to a residual range; the first for ranges below zero."""
    return int(math.sqrt(r) * inverse_step + 0.5) if r > 0.0 else 0


@law
def walk(stack, slot, scene, tables, tally, history, draw, key0, key1, drawn):
    """Walk the particle in stack[slot] to its end; secondaries are pushed at `slot` and above.

    Returns the next free draw, the new stack height, and whether the particle left the voxels: stack[LEFT] then holds
    it as it left.
    """
    medium, leg, quantiles = scene.medium, tables.leg, tables.quantiles
    nx, ny, nz, sx, sy, sz = scene.nx, scene.ny, scene.nz, scene.sx, scene.sy, scene.sz
    voxels, fine = tally.voxels, tally.fine
    n_slot, n_pack, first_quality = scene.n_slot, scene.n_pack, scene.first_quality
    x, y, z = stack[slot, 0], stack[slot, 1], stack[slot, 2]
    ux, uy, uz = stack[slot, 3], stack[slot, 4], stack[slot, 5]
    kind = int(stack[slot, KIND])
    n_stack = slot
    mass_number = 1.0 if kind < DEUTERON else (2.0 if kind == DEUTERON else 4.0)
    # Charge squared over mass number: residual range used up per water equivalent path; deflection goes with charge over
    # mass at the same velocity.
    slow = 0.5 if kind == DEUTERON else 1.0
    deflect = 1.0 if kind < DEUTERON else 0.25
    proton = kind < DEUTERON
    generation = 0 if kind == PRIMARY else 1
    r = range_of(stack[slot, ENERGY] / mass_number, tables)
    root = math.sqrt(r)
    energy = mass_number * energy_of(root, tables.energy, tables.inverse_energy_step)
    ix = min(max(int(x / sx), 0), nx - 1)
    iy = min(max(int(y / sy), 0), ny - 1)
    iz = min(max(int(z / sz), 0), nz - 1)
    cell = ix * scene.jump_x + iy * scene.jump_y + iz * scene.jump_z
    word = int(medium[at(cell)])
    m, rho = word >> MATERIAL_SHIFT, (word & DENSITY_MASK) * DENSITY_STEP
    v = scene.offset_x[ix] + scene.offset_y[iy] + scene.offset_z[iz]
    n_coarse, first_bin = scene.n_coarse, generation * scene.n_coarse
    pv_first = tables.pv[at(row_of(r, tables.inverse_row_step))]
    tau = FAR
    if proton:
        u0, _, _, _ = uniforms(history, draw, key0, key1, drawn)
        draw += _ONE
        tau = -math.log(u0)
    depth = x * scene.ax + y * scene.ay + z * scene.az - scene.depth_start
    visit_depth = depth
    angle2, total, visits = 0.0, 0.0, 0
    path_visit, water_visit = 0.0, 0.0
    state, spare, travelled = 0, False, 0.0
    u2, u3 = 0.0, 0.0
    for legs in range(MAX_LEGS + 1):
        if legs == MAX_LEGS:
            add_to(tally.book, BOOK_STUCK, 1)
            state = 3
            break
        # A new leg: random length, so that legs of different protons do not end together, and the kick at its end.
        kick_a, kick_b, length_u, _ = uniforms(history, draw, key0, key1, drawn)
        draw += _ONE
        length = min(min(LEG_LIMIT, LEG_FRACTION * r), LEG_GROWTH * travelled)
        if length < LEG_FLOOR:
            length = LEG_FLOOR
        left = length * (0.5 + length_u)
        slack = LEG_SLACK * left
        travelled += left
        i_leg = row_of(r - 0.5 * slow * left, tables.inverse_row_step)
        i = row_of(r - slow * left, tables.inverse_row_step)
        spread = 2.0 * deflect * moliere_factor(tables.pv[at(i)], pv_first, tables.log_pv[at(i)], tables.logs)
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
            # A leg ends at the next face where that is near, else inside the voxel.
            if water > left + slack:
                water = left
                t = water / water_per_mm
                state = 1
            hazard = t * mass_per_mm * leg[at(row + SIGMA)]
            if hazard >= tau:
                t *= tau / hazard
                water = t * water_per_mm
                hazard = 0.0
                tau = FAR
                state = 2
            if spare:
                u0, u1 = u2, u3
                spare = False
            else:
                u0, u1, u2, u3 = uniforms(history, draw, key0, key1, drawn)
                draw += _ONE
                spare = True
            shape = leg[at(row + SHAPE)] * mass_number * slow * water
            lost = leg[at(row + JUMP)] * fluctuation(shape, normal_of(u0, quantiles), u1)
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
                # Close the visit: energies at its two ends, tallies between.
                last_root, last_energy = root, energy
                root = math.sqrt(r)
                energy = mass_number * energy_of(root, tables.energy, tables.inverse_energy_step)
                loss = last_energy - energy
                total += loss
                visits += 1
                water_loss = loss * leg[at(row + WATER_RATIO)]
                here = depth + gone * climb
                low, high = (visit_depth, here) if visit_depth <= here else (here, visit_depth)
                visit_depth = here
                score_depth(fine, first_bin, n_coarse, low, high, loss, water_loss / rho)
                node = (m * N_ROW + int((last_root + root) * (0.5 * tables.inverse_row_step) + 0.5)) * n_pack
                base = -1
                if v >= 0:
                    base = voxel_base(tally, v, n_slot)
                    add_to(voxels, base + MEDIUM_SLOT, np.int64(loss * ENERGY_SCALE + 0.5))
                    add_to(voxels, base + WATER_SLOT, np.int64(water_loss * ENERGY_SCALE + 0.5))
                if proton:
                    score_nuclides(tally, scene, tables.emission, first_bin, base, low, high, path_visit, node)
                    if first_quality > 0 and v >= 0:
                        score_quality(
                            voxels, base + first_quality, loss, path_visit / rho, 0.5 * (last_energy + energy),
                            tables.stopping[at(node // n_pack - m * N_ROW)],
                        )  # fmt: skip
                path_visit, water_visit = 0.0, 0.0
            if state == 0:
                if crossing == 2:
                    forth = 1 if uz > 0.0 else -1
                    iz += forth
                    cell += forth * scene.jump_z
                    face_z += next_z
                    if iz < 0 or iz >= nz:
                        state = 4
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
                    if left <= 0.0:
                        state = 1
        x += gone * ux
        y += gone * uy
        z += gone * uz
        depth += gone * climb
        if state >= 3:
            break
        if state == 2:
            add_to(tally.book, BOOK_EVENTS, 1)
            draw, n_stack, energy, ux, uy, uz = nuclear_event(
                stack, n_stack, scene, tables, tally, history, draw, key0, key1, drawn, x, y, z, ux, uy, uz, energy, root, m,
                rho, v, depth, generation,
            )  # fmt: skip
            if energy <= 0.0:
                break
            r = range_of(energy, tables)
            root = math.sqrt(r)
            if r <= CUTOFF_RANGE:
                state = 3
                break
            u0, _, _, _ = uniforms(history, draw, key0, key1, drawn)
            draw += _ONE
            tau = -math.log(u0)
        elif angle2 > 0.0:
            # The kick stands for the half leg before it and as much after it; the path that follows pays it back.
            sigma = math.sqrt(angle2 * spread)
            ux, uy, uz = kicked(ux, uy, uz, sigma * normal_of(kick_a, quantiles), sigma * normal_of(kick_b, quantiles))
            angle2 = -angle2
    add_to(tally.book, BOOK_DEPOSIT, fixed(total, BOOK_SCALE))
    add_to(tally.book, BOOK_VISITS, visits)
    if state == 4:
        stack[LEFT, 0], stack[LEFT, 1], stack[LEFT, 2] = x, y, z
        stack[LEFT, 3], stack[LEFT, 4], stack[LEFT, 5] = ux, uy, uz
        stack[LEFT, ENERGY], stack[LEFT, KIND] = energy, kind
        return draw, n_stack, True
    if energy > 0.0:
        ratio = leg[m * N_ROW * N_LEG + WATER_RATIO]
        deposit(tally, scene, v, generation, depth, energy, ratio, rho)
    return draw, n_stack, False
