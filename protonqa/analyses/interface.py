"""The door every analysis comes through, built-in or third-party: static facts, one schema, two functions.

An analysis names itself, its inputs and its parameters, and offers ``run`` (one case) and ``commission`` (cases with
known truth). It gets a `Context` and gives values back; it draws nothing and prints nothing. Heavy libraries are
imported inside ``run``, so that looking at an analysis stays cheap.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from pydantic import BaseModel, ConfigDict

from protonqa.device import CPU, Device
from protonqa.errors import Cancelled, InputError
from protonqa.values import AnalysisResult, Figure, Finding, Table

#: Gets (done, total, text); `total` is in any unit, the same through one run.
ProgressCallback = Callable[[float, float, str], None]
CancelCallback = Callable[[], bool]

COMPARISONS: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {
        "<=": operator.le,
        "<": operator.lt,
        ">=": operator.ge,
        ">": operator.gt,
        "==": operator.eq,
        "abs<=": lambda value, limit: abs(value) <= limit,
    }
)


class AnalysisParams(BaseModel):
    """Base of every parameter schema: unknown names, NaN and later changes are refused.

    A field's title, unit (``json_schema_extra={"unit": "mm"}``) and bounds become the option, the form and the
    parameter table of the report.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


ParamsT = TypeVar("ParamsT", bound=AnalysisParams)
ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class Input:
    """A named input of an analysis.

    Parameters
    ----------
    name : str
    kind : type or str
        A value class of ``protonqa.values`` or its name: Case, Volume, ImageSeries, ImageSet, ProfileSet, CaseTable,
        TextDocument, SettingsFile, TrainedModel, AnalysisResult, ...
    optional : bool
    title : str
    many : bool
        One value or more, in order; `Context.inputs_of` gives them.
    """

    name: str
    kind: type | str
    optional: bool = False
    title: str = ""
    many: bool = False

    @property
    def kind_name(self) -> str:
        """Name of the kind, as listed and as matched against a value's class."""
        return self.kind if isinstance(self.kind, str) else self.kind.__name__


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Context(Generic[ParamsT]):
    """What an analysis gets: inputs by name, parameters, seed, device, and how to report progress.

    Parameters
    ----------
    inputs : mapping of str to value objects
    params : AnalysisParams
    seed : int
        Every random number of the run comes from it.
    device : Device
    out : Path or None
        Folder for artefacts; None when nothing is to be written.
    quick : bool
        Commissioning only: fewer histories and cases, the same limits.
    on_progress, is_cancelled : callables or None
    """

    inputs: Mapping[str, Any]
    params: ParamsT
    seed: int = 0
    device: Device = CPU
    out: Path | None = None
    quick: bool = False
    on_progress: ProgressCallback | None = None
    is_cancelled: CancelCallback | None = None

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError("the seed is negative", got=str(self.seed), expected="0 or more")
        object.__setattr__(self, "inputs", MappingProxyType(dict(self.inputs)))

    def input(self, name: str, kind: type[ValueT]) -> ValueT:
        """The input `name`, which must be a `kind`.

        Raises
        ------
        InputError
            The input is absent or of another kind.
        """
        value = self.inputs.get(name)
        if not isinstance(value, kind):
            got = "nothing" if value is None else type(value).__name__
            raise InputError(f"input {name} is missing or of the wrong kind", got=got, expected=kind.__name__)
        return value

    def optional(self, name: str, kind: type[ValueT]) -> ValueT | None:
        """As `input`, and None where the input was not given."""
        return None if self.inputs.get(name) is None else self.input(name, kind)

    def inputs_of(self, name: str, kind: type[ValueT]) -> tuple[ValueT, ...]:
        """The values of an input with ``many``, in the order they were given; none where it is absent.

        Raises
        ------
        InputError
            One of them is of another kind.
        """
        given = self.inputs.get(name)
        values = () if given is None else tuple(given) if isinstance(given, (list, tuple)) else (given,)
        for value in values:
            if not isinstance(value, kind):
                raise InputError(f"input {name} is of another kind", got=type(value).__name__, expected=kind.__name__)
        return values

    def rng(self, stream: str = "") -> np.random.Generator:
        """A generator that depends on the seed and the name of the stream alone, at its beginning."""
        words = np.frombuffer(hashlib.sha256(stream.encode()).digest()[:16], dtype="<u4")
        return np.random.default_rng([self.seed, *(int(word) for word in words)])

    def progress(self, done: float, total: float, text: str = "") -> None:
        """Tell how far the run is. This is also a point where a cancelled run stops."""
        self.check_cancelled()
        if self.on_progress is not None:
            self.on_progress(done, total, text)

    def check_cancelled(self) -> None:
        """Raise Cancelled when the user has stopped the run."""
        if self.is_cancelled is not None and self.is_cancelled():
            raise Cancelled("the run was cancelled", remedy="nothing was marked as done; start it again")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of an acceptance test: what was measured against which limit.

    ``passed`` follows from value, comparison and limit; a value of None (no number obtained) never passes.
    """

    name: str
    value: float | None
    unit: str
    limit: float
    comparison: str = "<="
    passed: bool | None = None
    title: str = ""

    def __post_init__(self) -> None:
        compare = COMPARISONS.get(self.comparison)
        if compare is None:
            raise InputError(
                f"check {self.name} has an unknown comparison", got=self.comparison, expected=", ".join(COMPARISONS)
            )
        if not np.isfinite(self.limit) or (self.value is not None and not np.isfinite(self.value)):
            raise InputError(f"check {self.name} is not a finite number", remedy="use None for no value")
        passed = self.value is not None and bool(compare(self.value, self.limit))
        if self.passed is not None and bool(self.passed) != passed:
            raise InputError(
                f"check {self.name} contradicts itself",
                got=f"passed={self.passed} for {self.value} {self.comparison} {self.limit}",
            )
        object.__setattr__(self, "passed", passed)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Commissioning:
    """Outcome of an acceptance test with known truth."""

    checks: tuple[Check, ...]
    findings: tuple[Finding, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    timings_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """True when there is at least one check and all of them passed."""
        return bool(self.checks) and all(check.passed for check in self.checks)


@runtime_checkable
class Analysis(Protocol):
    """What an analysis offers. Any class with these members is one; nothing needs to be inherited."""

    @property
    def name(self) -> str:
        """Name on the command line, lower case with hyphens."""
        ...

    @property
    def title(self) -> str:
        """Name for people."""
        ...

    @property
    def version(self) -> str:
        """Version of the method: it changes whenever results may change."""
        ...

    @property
    def inputs(self) -> tuple[Input, ...]:
        """Inputs in the order they are asked for."""
        ...

    @property
    def Params(self) -> type[AnalysisParams]:  # noqa: N802
        """The one definition of every parameter."""
        ...

    def run(self, context: Context[Any]) -> AnalysisResult:
        """Analyse one case."""
        ...

    def commission(self, context: Context[Any]) -> Commissioning:
        """Run on cases with known truth and compare with stated limits."""
        ...
