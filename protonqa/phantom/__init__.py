"""Phantoms: definitions in YAML, their voxels, stylised abdomen, head and pelvis, digital twins, and the field maker.

Twins, their treatments and the field maker are imported from their modules (``protonqa.phantom.twins``,
``protonqa.phantom.treatments``), which load SciPy.
"""

from protonqa.phantom.library import load_phantom, phantom_names, voxel_phantom
from protonqa.phantom.schema import PhantomDefinition, parse_definition
from protonqa.phantom.voxelise import VoxelPhantom, export_differences, voxelise

__all__ = [
    "PhantomDefinition",
    "VoxelPhantom",
    "export_differences",
    "load_phantom",
    "parse_definition",
    "phantom_names",
    "voxel_phantom",
    "voxelise",
]
