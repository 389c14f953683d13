"""What a study is: rays, conditions, methods and statistics, as frozen settings read from one YAML file."""

from __future__ import annotations

from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from protonqa.errors import InputError
from protonqa.range_model.config import Settings
from protonqa.range_model.scenarios import NAMED_SCENARIOS
from protonqa.study.conditions import AXES, Condition, Level
from protonqa.yaml_lines import LinedDocument, checked, known_keys, read_yaml

TEMPLATE = "template.yaml"
#: More scenarios than anybody will read are a slip in the grid.
MOST_SCENARIOS = 2000

Method = Literal[
    "model",
    "paper-protocol",
    "a50-line",
    "a50-line-rsp",
    "a50-line-density",
    "a50-line-wepl",
    "most-likely-shift",
    "profile-match-additive",
    "profile-match-multiplicative",
    "profile-match-poisson",
    "pearson",
]
METHODS: tuple[Method, ...] = get_args(Method)
Part = Literal["test", "held", "unseen", "calibrate", "train", "all"]
Measure = Literal["range_mae_mm", "range_sd_mm", "range_p95_mm"]


class ProfileFile(Settings):
    """A simulated profile table (CSV of ``simulate``) whose dose column is the truth.

    ``expected`` is the same beam simulated on the planning CT; without it the methods that shift profiles are left out.
    """

    file: Path
    expected: Path | None = None
    site: str = "profile"
    heterogeneous: bool = False
    sobp: bool = False


class RaySource(Settings):
    """Rays with their truth: a closed training set, twins simulated for this study, or profile tables; one of three.

    Parameters
    ----------
    set : Path or None
        Folder of a closed set. Where the model was trained on it, ``part`` says which anatomies are studied.
    twins : dict or None
        Recipe of a set to simulate: the keys of ``training_set`` in a training recipe. All its patients are studied.
    profiles : tuple of ProfileFile
    part : {"test", "held", "unseen", "calibrate", "train", "all"}
        ``held`` are sites that the training left out, ``unseen`` both.
    allow_training : bool
        Without it, anatomies the model learned from are refused.
    lines : Path or None
        Closed set whose rays the A50 lines are fitted on; by default the training part of ``set``, else the lines in
        the model's card serve.
    most_anatomies, most_rays_per_anatomy : int or None
        Drawn with the seed of the study.
    """

    set: Path | None = None
    twins: dict[str, Any] | None = None
    profiles: tuple[ProfileFile, ...] = ()
    part: Part = "test"
    allow_training: bool = False
    lines: Path | None = None
    most_anatomies: int | None = Field(None, ge=1)
    most_rays_per_anatomy: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _check(self) -> RaySource:
        given = (self.set is not None, self.twins is not None, bool(self.profiles))
        if sum(given) != 1:
            raise ValueError("exactly one of set, twins and profiles")
        return self


class Bootstrap(Settings):
    """Intervals over anatomies; ``resamples`` for the named scenarios, the others get none."""

    resamples: int = Field(1000, ge=100, le=100_000)
    level: float = Field(0.95, gt=0.5, lt=1.0)


class Tornado(Settings):
    """Which number of which method the chart of what matters most shows."""

    method: Method = "model"
    measure: Measure = "range_mae_mm"


class StudyConfig(Settings):
    """A sensitivity study; what a file leaves out keeps its default.

    Parameters
    ----------
    rays : RaySource
    model, paper_protocol : Path or None
        Folders of weights; no model is the shipped one, no paper protocol leaves that method out.
    methods : tuple of str
    named : tuple of str
        Rows of the published table and those a clinic cares for (`protonqa.range_model.scenarios.NAMED_SCENARIOS`).
    base : Condition
        Where ``grid`` and ``vary`` start from.
    grid, vary : dict of axis to levels
        Every combination; and one axis at a time, for the chart of what matters most.
    line_rays : int
        Rays each A50 line is fitted on.
    expected_washout : str
        Washout of the expected profiles: ``same`` model as the truth with its published numbers, or the name of one.
    worst_cases : int
        Rays shown as plots.
    """

    title: str = Field("Sensitivity study", max_length=120)
    seed: int = Field(1, ge=0, lt=2**31)
    rays: RaySource
    model: Path | None = None
    paper_protocol: Path | None = None
    methods: tuple[Method, ...] = METHODS
    named: tuple[str, ...] = tuple(NAMED_SCENARIOS)
    base: Condition = Condition.clinical()
    grid: dict[str, tuple[Level, ...]] = Field(default_factory=dict)
    vary: dict[str, tuple[Level, ...]] = Field(default_factory=dict)
    tornado: Tornado = Tornado()
    bootstrap: Bootstrap = Bootstrap()
    line_rays: int = Field(2000, ge=50, le=100_000)
    expected_washout: str = "same"
    worst_cases: int = Field(6, ge=0, le=50)

    @field_validator("named")
    @classmethod
    def _named_exist(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in NAMED_SCENARIOS]
        if unknown:
            raise ValueError(f"unknown scenario '{unknown[0]}', known are {', '.join(NAMED_SCENARIOS)}")
        return tuple(dict.fromkeys(names))

    @field_validator("methods")
    @classmethod
    def _methods_once(cls, names: tuple[Method, ...]) -> tuple[Method, ...]:
        if not names:
            raise ValueError("at least one method")
        return tuple(dict.fromkeys(names))

    @field_validator("expected_washout")
    @classmethod
    def _washout_exists(cls, name: str) -> str:
        from protonqa.activity.washout import washout_names

        if name != "same" and name not in washout_names():
            raise ValueError(f"'same' or one of {', '.join(washout_names())}")
        return name

    @field_validator("grid", "vary")
    @classmethod
    def _axes_exist(cls, axes: dict[str, tuple[Level, ...]]) -> dict[str, tuple[Level, ...]]:
        for name, levels in axes.items():
            if name not in AXES:
                raise ValueError(f"unknown axis '{name}', known are {', '.join(AXES)}")
            if not levels or len({str(level) for level in levels}) != len(levels):
                raise ValueError(f"axis '{name}' needs levels, each once")
        return axes


def study_template() -> str:
    """A commented study file."""
    return files("protonqa.study").joinpath(TEMPLATE).read_text(encoding="utf-8")


def load_study(path: Path) -> StudyConfig:
    """A study from YAML; relative paths in it count from its folder.

    Raises
    ------
    InputError
        Unreadable, not YAML, or a key or value that is wrong: the line and the nearest known key are named.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "not UTF-8") or type(error).__name__
        raise InputError("the study file cannot be read", got=reason) from error
    return study_from_text(text, path.resolve().parent)


def study_from_text(text: str, folder: Path) -> StudyConfig:
    """A study from YAML text; raises InputError as `load_study`."""
    document = read_yaml(text, "study")
    config = checked(document, StudyConfig, "study", partial(known_keys, StudyConfig))
    _check_levels(config, document)
    return _with_folder(config, folder)


def _check_levels(config: StudyConfig, document: LinedDocument) -> None:
    """Every level must make a condition together with the base; the first that doesn't is named with its line."""
    from pydantic import ValidationError

    for part in ("grid", "vary"):
        for axis, levels in getattr(config, part).items():
            for number, level in enumerate(levels):
                try:
                    config.base.changed({axis: level})
                except ValidationError as error:
                    message = str(error.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")
                    line = document.line_of((part, axis, number))
                    raise InputError(
                        f"level {number + 1} of axis '{axis}' cannot be used (line {line})",
                        got=repr(level)[:60],
                        expected=message[:160],
                    ) from error
    count = 1
    for levels in config.grid.values():
        count *= len(levels)
    if count > MOST_SCENARIOS:
        line = document.line_of(("grid",))
        raise InputError(
            f"the grid is too large (line {line})", got=f"{count} scenarios", expected=f"at most {MOST_SCENARIOS}"
        )


def _with_folder(config: StudyConfig, folder: Path) -> StudyConfig:
    """The same study with absolute paths."""

    def placed(path: Path | None) -> Path | None:
        return None if path is None else (folder / path.expanduser()).resolve()

    rays = config.rays.model_copy(
        update={
            "set": placed(config.rays.set),
            "lines": placed(config.rays.lines),
            "profiles": tuple(
                one.model_copy(update={"file": placed(one.file), "expected": placed(one.expected)})
                for one in config.rays.profiles
            ),
        }
    )
    paths = {"model": placed(config.model), "paper_protocol": placed(config.paper_protocol)}
    return config.model_copy(update={"rays": rays, **paths})
