"""Smooth noise of the CT number inside tissue, drawn on a lattice of the body, so it moves with the patient."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from protonqa.phantom.anatomy import Triple
from protonqa.phantom.twin_parameters import Texture
from protonqa.phantom.voxelise import Canvas

#: How much stronger than soft tissue the texture of a tissue is; 1 for what is not named.
TEXTURE_SHARE: Mapping[str, float] = {
    "air": 0.0,
    "couch_shell": 0.0,
    "couch_core": 0.0,
    "bowel_gas": 0.0,
    "stomach_gas": 0.0,
    "rectum_gas": 0.0,
    "sinus_air": 0.0,
    "airway": 0.0,
    "dental_metal": 0.0,
    "bile": 0.3,
    "urine": 0.3,
    "csf": 0.3,
    "ventricle": 0.3,
    "vitreous": 0.3,
    "grey_matter": 0.5,
    "white_matter": 0.5,
    "lung": 3.0,
    "bowel_content": 2.0,
    "stomach_content": 2.0,
    "rectum_content": 4.0,
    "air_cells": 6.0,
    "rib_marrow": 4.0,
    "vertebra_spongiosa": 4.0,
    "pelvic_spongiosa": 4.0,
    "sacrum_spongiosa": 4.0,
    "hip_spongiosa": 5.0,
    "jaw_spongiosa": 6.0,
    "diploe": 8.0,
    "skull_base": 8.0,
    "petrous_bone": 8.0,
    "facial_bone": 8.0,
    "skull_table": 6.0,
    "jaw_cortical": 6.0,
    "rib_cortical": 6.0,
    "vertebra_cortical": 6.0,
    "pelvic_cortical": 6.0,
    "sacrum_cortical": 6.0,
    "hip_cortical": 6.0,
    "femur_compact": 6.0,
    "dentine": 6.0,
    "enamel": 6.0,
}


def add_texture(canvas: Canvas, texture: Texture, size_mm: Triple, body_mm: NDArray[np.float32]) -> None:
    """Add the texture of a twin to its CT numbers.

    Parameters
    ----------
    canvas : Canvas
    texture : Texture
    size_mm : (x, y, z)
        Of the grid on all days.
    body_mm : (3, nz, ny, nx)
        Where each voxel centre lies in the body.
    """
    if texture.amplitude_hu <= 0:
        return
    share = np.array([TEXTURE_SHARE.get(tissue, 1.0) for tissue in canvas.tissues], dtype=np.float32)
    strength = share[canvas.tissue_index]
    inside = strength > 0
    step = texture.correlation_mm / 2
    # The lattice depends on the body alone: neither the spacing nor the day may change the texture.
    half = np.array(size_mm) / 2 + 20.0
    middle = np.array([0.0, 0.0, size_mm[2] / 2])
    counts = np.ceil(2 * half / step).astype(int) + 1
    rng = np.random.default_rng([0x7E, texture.seed])
    lattice = gaussian_filter(rng.standard_normal(counts, dtype=np.float32), 1.0, mode="wrap")
    lattice /= lattice.std()
    origin = middle - half
    index = [(body_mm[i][inside] - np.float32(origin[i])) / np.float32(step) for i in range(3)]
    field = map_coordinates(lattice, index, order=1, mode="nearest")
    canvas.hu[inside] += np.float32(texture.amplitude_hu) * strength[inside] * field
