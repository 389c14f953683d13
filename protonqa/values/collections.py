"""Inputs beyond one patient's field: series and sets of images, tables, texts, settings, trained models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import GeometryError, InputError, UnitsError
from protonqa.values._arrays import frozen_array
from protonqa.values.grid import Grid, Volume

#: A column of numbers (NaN: no value) or of texts.
Column = NDArray[np.float64] | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CaseTable:
    """A row a case (or node, edge, frame, step): columns of numbers and of texts.

    A graph is two tables: its nodes, and its edges with columns ``from``, ``to`` and perhaps ``weight``.

    Parameters
    ----------
    columns : mapping of name to (n,) float64 or to n texts
        A NaN means that the case has no such value; it is the one place where a NaN is allowed.

    Raises
    ------
    InputError
        No column, columns of different lengths, infinite numbers.
    """

    columns: Mapping[str, Column]

    def __post_init__(self) -> None:
        frozen = {name: _frozen_column(name, column) for name, column in self.columns.items()}
        lengths = {len(column) for column in frozen.values()}
        if len(lengths) != 1:
            raise InputError(
                "the columns of a table do not belong together",
                got=f"lengths {sorted(lengths)}" if lengths else "no columns",
                expected="columns of one length",
            )
        object.__setattr__(self, "columns", MappingProxyType(frozen))

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column of numbers, (n,).

        Raises
        ------
        InputError
            No such column, or one of texts.
        """
        column = self._column(name)
        if isinstance(column, tuple):
            raise InputError(f"column '{name[:40]}' of the table holds texts", expected="numbers")
        return column

    def texts(self, name: str) -> tuple[str, ...]:
        """A column as texts; numbers as they are written shortest.

        Raises
        ------
        InputError
            No such column.
        """
        column = self._column(name)
        if isinstance(column, tuple):
            return column
        return tuple("" if np.isnan(value) else f"{value:.17g}" for value in column)

    def _column(self, name: str) -> Column:
        column = self.columns.get(name)
        if column is None:
            listed = ", ".join(one[:40] for one in list(self.columns)[:12])
            raise InputError(f"the table has no column '{name[:40]}'", got=f"columns {listed}")
        return column


def _frozen_column(name: str, column: Column) -> Column:
    if isinstance(column, np.ndarray):
        array = np.array(column, dtype=np.float64)
        if array.ndim != 1 or np.isinf(array).any():
            raise InputError(f"column '{name[:40]}' of a table is not a list of finite numbers")
        array.setflags(write=False)
        return array
    return tuple(str(one) for one in column)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageSeries:
    """Images of one place at several times: a dynamic PET, or the same phantom on several days.

    Parameters
    ----------
    frames : tuple of Volume
        On one grid, in one unit, in the order of time.
    start_s : (n,)
        Start of each frame after the start of the first; increasing.
    duration_s : (n,)
        Length of each frame; 0 where none is known.
    """

    frames: tuple[Volume, ...]
    start_s: NDArray[np.float64]
    duration_s: NDArray[np.float64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "frames", tuple(self.frames))
        if not self.frames:
            raise InputError("an image series has no frames", expected="at least one")
        if len({one.unit for one in self.frames}) != 1:
            raise UnitsError("the frames of an image series have different units")
        if not all(one.grid.matches(self.grid) for one in self.frames[1:]):
            raise GeometryError("the frames of an image series lie on different grids", expected="one grid")
        count = len(self.frames)
        start = frozen_array(self.start_s, "starts of the frames", shape=(count,))
        duration = frozen_array(self.duration_s, "lengths of the frames", shape=(count,))
        if (np.diff(start) <= 0).any() or (duration < 0).any():
            raise InputError("the times of an image series do not increase", expected="frames in the order of time")
        object.__setattr__(self, "start_s", start)
        object.__setattr__(self, "duration_s", duration)

    @property
    def grid(self) -> Grid:
        """The grid of every frame."""
        return self.frames[0].grid

    @property
    def unit(self) -> str:
        """The unit of every frame."""
        return self.frames[0].unit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageSet:
    """Images that need not belong together, each with a row of facts: labels, scores, dose levels, scanners.

    Parameters
    ----------
    images : tuple of Volume
    table : CaseTable
        A row an image; the column ``name`` holds their names.
    """

    images: tuple[Volume, ...]
    table: CaseTable

    def __post_init__(self) -> None:
        object.__setattr__(self, "images", tuple(self.images))
        if not self.images or len(self.table) != len(self.images):
            raise InputError(
                "a set of images and its table differ",
                got=f"{len(self.images)} images and {len(self.table)} rows",
                expected="a row an image",
            )
        self.table.texts("name")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDocument:
    """A text: comments of a report, a treebank, words of a topic.

    Parameters
    ----------
    text : str
    language : str
        Code of the language (``en``, ``de``); empty where it is not known.
    """

    text: str = field(repr=False)
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsFile:
    """Settings that are too large for parameters: a study, a phantom, a training recipe, in YAML.

    Parameters
    ----------
    text : str
        As written; whoever asks for it knows its schema.
    folder : Path
        Relative paths in the text count from here.
    """

    text: str = field(repr=False)
    folder: Path = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedModel:
    """Weights and card of a trained model: arrays and facts, no code.

    Parameters
    ----------
    tensors : mapping of name to array
        Read-only, finite.
    card : mapping
        What its maker says of it: architecture, training data, domain, metrics, licence.
    sha256 : str
        Of the weights file.
    """

    tensors: Mapping[str, NDArray[Any]]
    card: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""

    def __post_init__(self) -> None:
        if not self.tensors:
            raise InputError("a trained model has no weights", expected="at least one tensor")
        frozen = {}
        for name, tensor in self.tensors.items():
            array = np.array(tensor)
            if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
                raise InputError("a trained model holds values that are not finite", got=name[:60])
            array.setflags(write=False)
            frozen[name] = array
        object.__setattr__(self, "tensors", MappingProxyType(frozen))
        object.__setattr__(self, "card", MappingProxyType(dict(self.card)))

    @property
    def name(self) -> str:
        """As its card says; the beginning of its hash where it says nothing."""
        return str(self.card.get("name") or self.sha256[:12] or "unnamed")
