"""``protonqa run NAME``: its options are those of the analysis, made from its inputs and its parameter schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Optional

from cyclopts import App, Group, Parameter
from pydantic import BaseModel, Field, create_model
from pydantic.fields import FieldInfo

from protonqa.analyses.interface import Analysis, AnalysisParams
from protonqa.cli.common import DEFAULT, Common
from protonqa.cli.frame import invoke
from protonqa.cli.result_text import result_text
from protonqa.cli.storing import STORING, Storing, with_record
from protonqa.cli.task import task
from protonqa.errors import InputError, PluginError

_RESERVED = frozenset(
    {"out", "param", "params", "report", "anonymous", "plugins", "json", "device", "seed", "progress", "store", "label"}
)
_INPUTS, _PARAMETERS = Group("Inputs", sort_key=1), Group("Parameters of the analysis", sort_key=2)


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
    analysis = load_analysis(name, _plugins(tokens)).analysis
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


def _plugins(tokens: tuple[str, ...]) -> tuple[str, ...] | None:
    """``--plugins`` decides which analysis exists, so it is looked for before the options are known."""
    for index, word in enumerate(tokens):
        option, equals, value = word.partition("=")
        if option != "--plugins":
            continue
        if equals:
            return (value,)
        following = tokens[index + 1 :]
        stop = next((place for place, one in enumerate(following) if one.startswith("-")), len(following))
        return tuple(following[:stop])
    return None


def _app_of(analysis: Analysis) -> App:
    """An application with one command, whose options are the inputs and parameters of `analysis`."""
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
        plugins: tuple[str, ...] | None = None,
        storing: Storing = STORING,
        common: Common = DEFAULT,
    ) -> int:
        values = {**_file_values(params), **_pair_values(param), **_given(options)}
        return _execute(analysis.name, _given(inputs), values, out, report, anonymous, plugins, storing, common)

    command.__doc__ = f"{analysis.title}, version {analysis.version}."
    command.__annotations__ = {
        "inputs": Annotated[inputs, Parameter(name="*", group=_INPUTS)],
        "options": Annotated[options, Parameter(name="*", group=_PARAMETERS)],
        "out": Annotated[Path, Parameter(help="Folder of the result.")],
        "param": Annotated[tuple[str, ...], Parameter(help="A parameter as NAME=VALUE; may be repeated.", negative="")],
        "params": Annotated[Path | None, Parameter(help="Parameters from a YAML or JSON file.")],
        "report": Annotated[bool, Parameter(help="Write report.pdf and report.html.")],
        "anonymous": Annotated[bool, Parameter(help="Withhold identity and dates in the report.", negative="")],
        "plugins": Annotated[
            tuple[str, ...] | None,
            Parameter(help="Plugins to enable, each as distribution==version.", consume_multiple=True, negative=""),
        ],
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


def _given(model: BaseModel | None) -> dict[str, Any]:
    """What the user wrote, without the defaults."""
    return {} if model is None else {name: getattr(model, name) for name in sorted(model.model_fields_set)}


def _execute(
    name: str,
    paths: Mapping[str, Path],
    values: Mapping[str, Any],
    out: Path,
    report: bool,
    anonymous: bool,
    plugins: tuple[str, ...] | None,
    storing: Storing,
    common: Common,
) -> int:
    from protonqa.app.analyses import RunParams
    from protonqa.app.analyses import run as run_analysis
    from protonqa.app.results import run_to_plain

    params = RunParams(
        name=name, inputs=paths, params=values, out=out, report=report, anonymous=anonymous, plugins=plugins
    )
    with task(common) as job, storing.recorder() as record:
        result = run_analysis(params, seed=common.seed, device=job.device, progress=job.progress, record=record)
    plain = {**run_to_plain(result), **record.to_plain()}
    return job.finish_result(result, plain, text=with_record(result_text(result, out), record))


def _input_options(analysis: Analysis) -> Any:
    from protonqa.app.inputs import input_paths

    fields: dict[str, Any] = {}
    for option, (_, _, text) in input_paths(analysis.inputs).items():
        _check_free(option, analysis)
        fields[option] = (Path | None, Field(None, description=text))
    return create_model("Inputs", **fields)


def _parameter_options(schema: type[AnalysisParams]) -> Any:
    """The schema with every field optional, since a value may also come from a file; bounds are checked later."""
    fields: dict[str, Any] = {}
    for name, field in schema.model_fields.items():
        optional: Any = Optional[field.annotation]  # noqa: UP045
        annotated = Annotated[optional, Parameter(show_default=False)]
        fields[name] = (annotated, Field(None, description=_help_text(name, field)))
    return create_model("Options", **fields)


def _help_text(name: str, field: FieldInfo) -> str:
    title = field.title or name.replace("_", " ")
    text = f"{title}. {field.description}" if field.description else title
    extra = field.json_schema_extra
    unit = f" {extra['unit']}" if isinstance(extra, Mapping) and extra.get("unit") else ""
    if field.is_required():
        return f"{text} [required]"
    default = field.get_default(call_default_factory=False)
    return text if default is None else f"{text} [default: {default}{unit}]"


def _check_free(option: str, analysis: Analysis) -> None:
    if option in _RESERVED or option in analysis.Params.model_fields:
        raise PluginError(f"an input of analysis {analysis.name} has the name of another option", got=option)


def _pair_values(pairs: tuple[str, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (equals and name.strip()):
            raise InputError("--param is not a pair", got=repr(pair[:40]), expected="NAME=VALUE")
        values[name.strip().replace("-", "_")] = _value(text)
    return values


def _value(text: str) -> Any:
    """JSON where it is JSON (numbers, lists, true, null), else the text itself; the schema converts the rest."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _file_values(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    from protonqa.app.param_file import read_param_file

    return read_param_file(path)
