"""How much a reader may take from files nobody has checked yet: refused before memory is asked for."""

from __future__ import annotations

from dataclasses import dataclass

_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLimits:
    """Upper bounds for one import; every refusal names the need and the limit.

    Parameters
    ----------
    max_files : int
        Files in a folder or entries in a zip archive.
    max_file_bytes, max_total_bytes : int
        One file, and all DICOM files of the import together (inflated, where they come from an archive).
    max_zip_ratio : float
        Inflated to stored bytes of an archive; looked at once it inflates beyond ``zip_ratio_from_bytes``, because a
        small phantom of one material packs far better than any patient.
    max_rows_columns, max_frames, max_voxels : int
        Image matrix, frames in a file, voxels of the whole volume.
    max_depth, max_elements : int
        Nested sequences, and elements of one file.
    max_spots : int
        Scan spots of a plan.
    max_structures, max_contours, max_contour_points : int
        Structures, and contours and points of all of them, of a structure set.
    """

    max_files: int = 20_000
    max_file_bytes: int = 1024 * _MIB
    max_total_bytes: int = 8192 * _MIB
    max_zip_ratio: float = 250.0
    zip_ratio_from_bytes: int = 64 * _MIB
    max_rows_columns: int = 4096
    max_frames: int = 4096
    max_voxels: int = 512_000_000
    max_depth: int = 64
    max_elements: int = 1_000_000
    max_spots: int = 2_000_000
    max_structures: int = 1000
    max_contours: int = 200_000
    max_contour_points: int = 5_000_000


DEFAULT_LIMITS = ReadLimits()
