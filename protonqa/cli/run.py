"""``protonqa run NAME``: its options are those of the analysis, made from its inputs and its parameter schema."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Optional

from cyclopts import App, Group, Parameter
from pydantic import BaseModel, Field, create_model

from protonqa.analyses.interface import Analysis, AnalysisParams
from protonqa.cli.common import DEFAULT, Common
from protonqa.cli.frame import invoke
from protonqa.cli.result_text import result_text
from protonqa.cli.storing import STORING, Storing, with_record
from protonqa.cli.task import task
from protonqa.cli.values import file_values, pair_values
from protonqa.errors import InputError, PluginError

_RESERVED = frozenset(
    {
        "out",
        "param",
        "params",
        "report",
        "anonymous",
        "plugins",
        "enable",
        "json",
        "device",
        "seed",
        "progress",
        "store",
    }
    | {"label", "config", "isolate", "deadline_s", "memory_mib"}
)
_INPUTS, _PARAMETERS = Group("Inputs", sort_key=1), Group("Parameters of the analysis", sort_key=2)
_ENABLE = ("--enable", "--plugins")


class ApartOptions(BaseModel):
    """Running in a process of its own."""

    isolate: bool | None = Field(None, description="Run in a worker process; by default third-party analyses do.")
    deadline_s: float | None = Field(None, gt=0, description="End a run in a worker process after so long, s.")
    memory_mib: int | None = Field(None, ge=64, description="Memory that a worker process may take, MiB.")


_TOGETHER = ApartOptions()
_APART = Group("Worker process", sort_key=80)


def run(
    name: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    *tokens: Annotated[str, Parameter(allow_leading_hyphen=True, show=False)],
) -> int:
    """Run an analysis on files.

    Parameters
    ----------
    name
        Name of the analysis; ``protonqa run NAME --help`` shows its options.
    """
    from protonqa.analyses.registry import load_analysis

    if name is None or name in ("--help", "-h"):
        return invoke(_overview(), ["--help"])
    if name.startswith("-"):
        raise InputError("the name of the analysis comes first", expected="protonqa run NAME ...")
    analysis = load_analysis(name, _allowed(tokens)).analysis
    return invoke(_app_of(analysis), list(tokens))


# The rest of the command line is parsed here, so the frame must leave standard output to it.
run.parses_further = True  # type: ignore[attr-defined]


def _overview() -> App:
    from protonqa.analyses.registry import listed_analyses

    def overview() -> None:
        """Nothing to run."""

    names = ", ".join(dict.fromkeys(listed.name for listed in listed_analyses())) or "none is installed"
    app = App(
        name="protonqa run NAME",
        help_format="plaintext",
        help=f"Run an analysis on files. NAME is one of: {names}. Its options: protonqa run NAME --help.",
        version_flags=[],
    )
    app.default(overview)
    return app


def _allowed(tokens: tuple[str, ...]) -> tuple[str, ...]:
    """Which third-party analyses may run: asked before the options are known, because they depend on the answer."""
    from protonqa.app.plugins import allowed_plugins
    from protonqa.site.reading import current_site

    config = _words_of(tokens, ("--config",))
    named = _words_of(tokens, _ENABLE)
    given = () if "--no-plugins" in tokens else named
    return allowed_plugins(given, current_site(Path(config[0]) if config else None))


def _words_of(tokens: tuple[str, ...], options: tuple[str, ...]) -> tuple[str, ...] | None:
    """The values of an option among tokens that were not parsed yet; None where it is absent."""
    found: tuple[str, ...] | None = None
    for index, word in enumerate(tokens):
        option, equals, value = word.partition("=")
        if option not in options:
            continue
        if equals:
            found = (*(found or ()), value)
            continue
        following = tokens[index + 1 :]
        stop = next((place for place, one in enumerate(following) if one.startswith("-")), len(following))
        found = (*(found or ()), *following[:stop])
    return found


def _app_of(analysis: Analysis) -> App:
    """An application with one command, whose options are the inputs and parameters of `analysis`."""
    _check_parameters(analysis)
    inputs, options = _input_options(analysis), _parameter_options(analysis.Params)

    def command(
        *,
        out: Path,
        inputs: Any = None,
        options: Any = None,
        param: tuple[str, ...] = (),
        params: Path | None = None,
        report: bool = True,
        anonymous: bool = False,
        enable: tuple[str, ...] | None = None,
        no_plugins: bool = False,
        apart: ApartOptions = _TOGETHER,
        storing: Storing = STORING,
        common: Common = DEFAULT,
    ) -> int:
        wanted = {
            "name": analysis.name,
            "inputs": _given(inputs),
            "params": {**file_values(params), **pair_values(param), **_given(options)},
            "out": out,
            "report": report,
            "anonymous": anonymous,
            "plugins": () if no_plugins else enable,
            **apart.model_dump(),
        }
        return _execute(wanted, out, storing, common)

    command.__doc__ = f"{analysis.title}, version {analysis.version}."
    command.__annotations__ = {
        "inputs": _flattened(inputs, _INPUTS),
        "options": _flattened(options, _PARAMETERS),
        "out": Annotated[Path, Parameter(help="Folder of the result.")],
        "param": Annotated[tuple[str, ...], Parameter(help="A parameter as NAME=VALUE; may be repeated.", negative="")],
        "params": Annotated[Path | None, Parameter(help="Parameters from a YAML or JSON file.")],
        "report": Annotated[bool, Parameter(help="Write report.pdf and report.html.")],
        "anonymous": Annotated[bool, Parameter(help="Withhold identity and dates in the report.", negative="")],
        "enable": Annotated[
            tuple[str, ...] | None,
            Parameter(
                name=_ENABLE,
                help="Plugins to enable, each as distribution==version.",
                consume_multiple=True,
                negative="",
            ),
        ],
        "no_plugins": Annotated[bool, Parameter(negative="", help="Safe mode: built-in analyses only.")],
        "apart": Annotated[ApartOptions, Parameter(name="*", group=_APART)],
        "storing": Storing,
        "common": Common,
        "return": int,
    }
    app = App(
        name=f"protonqa run {analysis.name}",
        help_format="plaintext",
        version_flags=[],
        suppress_keyboard_interrupt=False,
    )
    app.default(command)
    return app


def _flattened(model: Any, group: Group) -> Any:
    """The fields of `model` as options; an analysis may have no inputs or no parameters."""
    if not model.model_fields:
        return Annotated[model | None, Parameter(parse=False)]
    return Annotated[model, Parameter(name="*", group=group)]


def _given(model: BaseModel | None) -> dict[str, Any]:
    """What the user wrote, without the defaults."""
    return {} if model is None else {name: getattr(model, name) for name in sorted(model.model_fields_set)}


def _execute(wanted: Mapping[str, Any], out: Path, storing: Storing, common: Common) -> int:
    from protonqa.app.analyses import RunParams
    from protonqa.app.analyses import run as run_analysis
    from protonqa.app.results import run_to_plain

    params = RunParams(**wanted)
    with task(common) as job, storing.recorder() as record:
        result = run_analysis(params, seed=common.seed, device=job.device, progress=job.progress, record=record)
    plain = {**run_to_plain(result), **record.to_plain()}
    return job.finish_result(result, plain, text=with_record(result_text(result, out), record))


def _input_options(analysis: Analysis) -> Any:
    from protonqa.app.inputs import input_paths

    several = {one.name for one in analysis.inputs if one.many}
    fields: dict[str, Any] = {}
    for option, (name, _, text) in input_paths(analysis.inputs).items():
        _check_free(option, analysis)
        if name in several:
            kind: Any = Annotated[tuple[Path, ...] | None, Parameter(consume_multiple=True, negative="")]
            fields[option] = (kind, Field(None, description=f"{text}; one or more"))
        else:
            fields[option] = (Path | None, Field(None, description=text))
    return create_model("Inputs", **fields)


def _parameter_options(schema: type[AnalysisParams]) -> Any:
    """The schema with every field optional, since a value may also come from a file; bounds are checked later."""
    from protonqa.cli.parameter_help import parameter_help

    texts = parameter_help(schema)
    fields: dict[str, Any] = {}
    for name, field in schema.model_fields.items():
        optional: Any = Optional[field.annotation]  # noqa: UP045
        annotated = Annotated[optional, Parameter(show_default=False, negative_iterable=())]
        fields[name] = (annotated, Field(None, description=texts[name]))
    return create_model("Options", **fields)


def _check_parameters(analysis: Analysis) -> None:
    """A parameter that bears the name of an option of ours could not be given."""
    for name in analysis.Params.model_fields:
        if name in _RESERVED:
            raise PluginError(f"a parameter of analysis {analysis.name} has the name of another option", got=name)


def _check_free(option: str, analysis: Analysis) -> None:
    if option in _RESERVED or option in analysis.Params.model_fields:
        raise PluginError(f"an input of analysis {analysis.name} has the name of another option", got=option)
