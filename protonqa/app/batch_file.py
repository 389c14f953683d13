"""``BATCH.yaml``: one analysis, its parameters and its cases, checked line by line."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from protonqa.errors import InputError
from protonqa.yaml_lines import read_lined_file

_STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
PathsOf = dict[str, str | list[str]]


class BatchCase(BaseModel):
    """One case: a folder that is searched, its inputs by name, or parameters alone where no files are needed."""

    model_config = _STRICT

    name: str = Field("", max_length=200, title="Name in the summary; the name of the folder where absent")
    folder: str = Field("", title="Folder, archive or file of the case, counted from the batch file")
    inputs: PathsOf = Field(default_factory=dict, title="Paths by the names the analysis gives its inputs")
    params: dict[str, JsonValue] = Field(default_factory=dict, title="Parameters that differ for this case")
    seed: int | None = Field(None, ge=0, title="Seed of this case")


class BatchFile(BaseModel):
    """The whole file. ``folder`` and ``cases`` may stand beside each other."""

    model_config = _STRICT

    analysis: str = Field("", title="Name of the analysis")
    params: dict[str, JsonValue] = Field(default_factory=dict, title="Parameters of the analysis")
    inputs: PathsOf = Field(default_factory=dict, title="Inputs that all cases share")
    select: dict[str, str] = Field(default_factory=dict, title="Which entry of a case folder is which input")
    seed: int | None = Field(None, ge=0, title="Seed of every case")
    folder: str = Field("", title="Folder of which every entry is a case")
    cases: list[BatchCase] = Field(default_factory=list, title="Cases, in the order of the summary")


def read_batch_file(path: Path) -> BatchFile:
    """A batch file.

    Raises
    ------
    InputError
        Not readable, an unknown key (the line and the nearest known key are named), or no cases at all.
    """
    found = read_lined_file(path, BatchFile, "batch")
    if not (found.folder or found.cases):
        raise InputError("the batch file names no cases", expected="a folder, or a list of cases")
    for position, one in enumerate(found.cases, 1):
        if not (one.folder or one.inputs or one.params):
            expected = "a folder, inputs or parameters"
            raise InputError(f"case {position} of the batch file says nothing", expected=expected)
        if not (one.name or one.folder):
            raise InputError(f"case {position} of the batch file has no name", expected="a name or a folder")
    return found
