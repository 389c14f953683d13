"""Activity profiles as CSV or NPZ: what `activity` writes and `predict` reads."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protonqa.durable import write_text_atomic
from protonqa.errors import InputError
from protonqa.files.csv_table import FileLimits, FloatArray, nearest, printable, read_csv_table
from protonqa.files.npz_table import read_npz, write_npz
from protonqa.files.ray_rows import RayRows, cell, check_ray_names, is_ray_name, rows_of_csv
from protonqa.values.profiles import ProfileSet
from protonqa.values.result import Finding, Severity
from protonqa.values.timeline import Timeline

_WHAT = "profile table"
_REQUIRED = ("depth_mm", "activity")
_ALONG = ("hu", "rsp")
_TIMES = ("delay_s", "acquisition_s", "irradiation_s")
_OPTIONAL = (*_ALONG, *_TIMES, "psf_mm")
_KNOWN = (*_REQUIRED, "ray", *_OPTIONAL)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProfileTable:
    """Rays of a file in its order, neighbours with the same depths, time line, PSF and columns in one set."""

    sets: tuple[ProfileSet, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def rays(self) -> tuple[str, ...]:
        """Names of all rays in the order of the file."""
        return tuple(name for one in self.sets for name in one.ray)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Ray:
    name: str
    depth_mm: FloatArray
    activity: FloatArray
    along: dict[str, FloatArray]
    timeline: Timeline | None
    psf_fwhm_mm: float | None

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for rays that fit into one set."""
        return self.depth_mm.tobytes(), tuple(self.along), self.timeline, self.psf_fwhm_mm


def read_profiles(path: str | os.PathLike[str], *, limits: FileLimits | None = None) -> ProfileTable:
    """Read activity profiles.

    Columns: ``depth_mm, activity`` and optionally ``ray`` (absent: one ray), ``hu``, ``rsp``, and, constant within a
    ray, ``delay_s``, ``acquisition_s``, ``irradiation_s``, ``psf_mm`` (FWHM). Rays may differ in depths and length;
    nothing is resampled. An NPZ holds the same columns as arrays of one length (numbers stand for a constant column),
    or ``activity`` as (n_ray, n_depth) with ``depth_mm`` (n_depth,) or (n_ray, n_depth) and ``ray`` (n_ray,).

    Returns
    -------
    ProfileTable
        With a finding for an incomplete time line (then it counts as unknown) and for columns that are not used.

    Raises
    ------
    InputError
        Missing columns, text, NaN or infinite values, depths that do not increase, a value that should be constant
        and is not; always with the line.
    """
    if Path(path).suffix.lower() == ".npz":
        rows, names = _rows_of_npz(path, limits)
    else:
        table = read_csv_table(path, what=_WHAT, limits=limits)
        if "activity" not in table.columns and "c11_per_mm" in table.columns:
            raise InputError(
                "the table holds nuclei produced, not activity",
                expected="columns depth_mm, activity",
                remedy="give it a time line with 'protonqa activity' first",
            )
        rows, names = rows_of_csv(table, required=_REQUIRED, optional=_OPTIONAL), list(table.columns)
    findings = _unused(names)
    groups = list(rows.rays())
    rays = [_ray(rows, name, indices) for name, indices in groups]
    partial = sum(_times_given(rows, indices) in (1, 2) for _, indices in groups)
    if partial:
        findings.append(
            Finding(
                severity=Severity.WARNING,
                code="PROFILE-TIMELINE-INCOMPLETE",
                text=f"The time line of {partial} of {len(rays)} rays lacks one of {', '.join(_TIMES)}: it is treated "
                "as unknown.",
            )
        )
    sets = tuple(_set(list(group)) for _, group in groupby(rays, key=lambda ray: ray.key))
    return ProfileTable(sets=sets, findings=tuple(findings))


def write_profiles(path: str | os.PathLike[str], sets: ProfileSet | Sequence[ProfileSet]) -> None:
    """Write profiles as NPZ (by suffix) or CSV, all or nothing; rows outside the mask are left out.

    Numbers are written so that they read back exactly. The activity unit is not part of the format.

    Raises
    ------
    InputError
        A ray without a usable or unique name, or with fewer than two rows inside its mask; NPZ: a value that some
        rays have and others lack.
    StoreError
        The file cannot be written; the old one is unchanged.
    """
    every = (sets,) if isinstance(sets, ProfileSet) else tuple(sets)
    columns = _columns(every)
    if Path(path).suffix.lower() == ".npz":
        write_npz(path, _npz_columns(columns), label=_WHAT)
        return
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*([v if isinstance(v, str) else cell(v) for v in c] for c in columns.values()), strict=True))
    write_text_atomic(path, buffer.getvalue(), label=_WHAT)


def _ray(rows: RayRows, name: str, indices: NDArray[np.intp]) -> _Ray:
    times = {t: rows.constant(t, indices) for t in _TIMES}
    known = {t: v for t, v in times.items() if v is not None}
    along = {n: v for n in _ALONG if (v := rows.optional(n, indices)) is not None}
    return _Ray(
        name=name,
        depth_mm=rows.numbers["depth_mm"][indices],
        activity=rows.numbers["activity"][indices],
        along=along,
        timeline=Timeline(**known) if len(known) == len(_TIMES) else None,
        psf_fwhm_mm=rows.constant("psf_mm", indices),
    )


def _times_given(rows: RayRows, indices: NDArray[np.intp]) -> int:
    return sum(rows.optional(t, indices) is not None for t in _TIMES)


def _set(rays: list[_Ray]) -> ProfileSet:
    first = rays[0]
    along: dict[str, Any] = {n: np.stack([r.along[n] for r in rays]) for n in first.along}
    return ProfileSet(
        depth_mm=first.depth_mm,
        activity=np.stack([r.activity for r in rays]),
        timeline=first.timeline,
        psf_fwhm_mm=first.psf_fwhm_mm,
        ray=tuple(r.name for r in rays),
        **along,
    )


def _unused(names: list[str]) -> list[Finding]:
    findings = []
    for name in names:
        if name not in _KNOWN:
            near = nearest(name.lower(), _KNOWN)
            findings.append(
                Finding(
                    severity=Severity.WARNING if near else Severity.INFO,
                    code="PROFILE-COLUMN-UNUSED",
                    text=f"Column '{printable(name)}' is not used" + (f"; did you mean '{near}'?" if near else "."),
                )
            )
    return findings


def _rows_of_npz(path: str | os.PathLike[str], limits: FileLimits | None) -> tuple[RayRows, list[str]]:
    arrays = read_npz(path, what=_WHAT, limits=limits)
    missing = [n for n in _REQUIRED if n not in arrays]
    if missing:
        near = nearest(missing[0], list(arrays))
        raise InputError(
            f"the {_WHAT} has no array '{missing[0]}'",
            got=", ".join(printable(n) for n in list(arrays)[:12]),
            expected=", ".join(_REQUIRED),
            remedy=f"did you mean '{near}'?" if near else "add the array",
        )
    shape = arrays["activity"].shape
    if len(shape) not in (1, 2) or 0 in shape:
        raise InputError(
            f"the activity of the {_WHAT} has the wrong shape", got=str(shape), expected="(n,) or (ray, n)"
        )
    numbers = {n: _npz_numbers(arrays[n], n, shape) for n in (*_REQUIRED, *_OPTIONAL) if n in arrays}
    names = arrays.get("ray")
    if names is None:
        names = np.arange(shape[0]).astype(str)[:, None] if len(shape) == 2 else np.array("0")
    ray = [str(n).strip() for n in _spread(np.asarray(names), "ray", shape).ravel()]
    length = shape[-1]

    def place(index: int) -> str:
        return f"row {index}" if len(shape) == 1 else f"row {index // length}, depth index {index % length}"

    rows = RayRows(numbers=numbers, ray=ray, place=place, what=_WHAT)
    check_ray_names(rows)
    if len(shape) == 2 and len(set(ray)) != shape[0]:
        raise InputError(f"two rays of the {_WHAT} have one name", expected="a name of its own for each ray")
    return rows, list(arrays)


def _npz_numbers(array: NDArray[Any], name: str, shape: tuple[int, ...]) -> FloatArray:
    if array.dtype.kind not in "fiu":
        raise InputError(f"array '{name}' of the {_WHAT} is not numeric", got=f"type {array.dtype.kind!r}")
    values = np.asarray(_spread(array, name, shape), dtype=np.float64)
    bad = ~np.isfinite(values)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise InputError(
            f"array '{name}' of the {_WHAT} holds values that are not finite",
            got=f"{int(bad.sum())} NaN or infinite values, the first at index {first}",
            expected="finite numbers",
            remedy="repair the file; protonqa never replaces NaN silently",
        )
    return values.ravel()


def _spread(array: NDArray[Any], name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """A column for every row: single numbers, one value a ray and one depth grid for all rays are repeated."""
    a_ray = name in ("ray", "psf_mm", *_TIMES)
    if len(shape) == 2 and a_ray and array.shape == (shape[0],):
        array = array[:, None]
    try:
        return np.broadcast_to(array, shape)
    except ValueError as error:
        raise InputError(
            f"array '{name}' of the {_WHAT} does not fit the activity", got=str(array.shape), expected=str(shape)
        ) from error


def _columns(sets: tuple[ProfileSet, ...]) -> dict[str, list[Any]]:
    present = {
        "hu": any(s.hu is not None for s in sets),
        "rsp": any(s.rsp is not None for s in sets),
        **{t: any(s.timeline is not None for s in sets) for t in _TIMES},
        "psf_mm": any(s.psf_fwhm_mm is not None for s in sets),
    }
    columns: dict[str, list[Any]] = {n: [] for n in (*_REQUIRED, "ray", *(n for n, yes in present.items() if yes))}
    seen: set[str] = set()
    for one in sets:
        for index, name in enumerate(one.ray):
            if name in seen or not is_ray_name(name):
                raise InputError("a ray has no name of its own that can be written", expected="different plain names")
            seen.add(name)
            _append(columns, one, index)
    return columns


def _append(columns: dict[str, list[Any]], one: ProfileSet, index: int) -> None:
    inside = np.flatnonzero(np.asarray(one.mask)[index])
    if inside.size < 2:
        raise InputError("a ray has fewer than two depths inside its window", remedy="widen the window")
    columns["depth_mm"].extend(one.depth_mm[inside].tolist())
    columns["activity"].extend(one.activity[index, inside].tolist())
    columns["ray"].extend([one.ray[index]] * inside.size)
    for name in _ALONG:
        if name in columns:
            along = getattr(one, name)
            columns[name].extend([None] * inside.size if along is None else along[index, inside].tolist())
    for name in (*_TIMES, "psf_mm"):
        if name in columns:
            value = one.psf_fwhm_mm if name == "psf_mm" else getattr(one.timeline, name, None)
            columns[name].extend([value] * inside.size)


def _npz_columns(columns: dict[str, list[Any]]) -> dict[str, NDArray[Any]]:
    if any(value is None for column in columns.values() for value in column):
        raise InputError("an NPZ cannot leave values empty for some rays only", remedy="write a CSV")
    return {name: np.array(column, dtype=str if name == "ray" else float) for name, column in columns.items()}
