"""What was wrong with the command line, in one line of our own words."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from typing import Any, Literal, get_args, get_origin

from cyclopts import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
    ValidationError,
)

from protonqa.cli.commands import COMMANDS
from protonqa.errors import ProtonQAError


def usage_line(error: CycloptsError) -> str:
    """``what, got ..., expected ..., remedy`` of a command line that cannot be understood."""
    described = _described(error)
    return ProtonQAError(described[0], got=described[1], expected=described[2], remedy=described[3]).line()[:400]


def shown(value: object) -> str:
    """A value of the command line fit for a log: a path may name a patient and is not repeated."""
    text = " ".join(str(value).split())
    return "a path" if any(sign in text for sign in "/\\") else repr(text[:60])


def _described(error: CycloptsError) -> tuple[str, str, str, str]:
    see_help = "see protonqa --help"
    if isinstance(error, UnknownCommandError):
        word = (error.unused_tokens or [""])[0]
        return "unknown command", shown(word), "", _near(word, [one.name for one in COMMANDS]) or see_help
    if isinstance(error, UnknownOptionError):
        word = error.token.keyword or error.token.value
        names = [name for argument in error.argument_collection for name in argument.names if argument.parse]
        return "unknown option", shown(word.split("=")[0]), "", _near(word.split("=")[0], names) or _help_of(error)
    if isinstance(error, MissingArgumentError):
        return _missing(error)
    if isinstance(error, (CoercionError, ValidationError)):
        return _refused(error)
    if isinstance(error, RepeatArgumentError):
        return f"option {error.token.keyword} is given twice", "", "", ""
    if isinstance(error, UnusedCliTokensError):
        extra = (error.unused_tokens or [""])[0]
        return "unexpected argument", shown(extra), "", _help_of(error)
    error.verbose = False
    return str(error).rstrip("."), "", "", _help_of(error)


def _missing(error: MissingArgumentError) -> tuple[str, str, str, str]:
    name = error.keyword or (error.argument.name if error.argument is not None else "an argument")
    count = error.argument.token_count()[0] if error.argument is not None else 1
    if count > 1:
        got = f"{len(error.tokens_so_far) % count} values" if error.tokens_so_far else ""
        return f"{name} is incomplete", got, f"{count} values", _help_of(error)
    what = f"{name} needs a value" if error.keyword else f"{name} is missing"
    return what, "", "", _help_of(error)


def _refused(error: CoercionError | ValidationError) -> tuple[str, str, str, str]:
    """A value of the wrong kind or out of bounds; pydantic's own words where the schema refused it."""
    if "pydantic" in sys.modules:
        import pydantic

        if isinstance(error.__cause__, pydantic.ValidationError):
            first = error.__cause__.errors(include_url=False)[0]
            name = (
                "--" + "-".join(str(part) for part in first["loc"][:1]).replace("_", "-") if first["loc"] else "values"
            )
            message = str(first["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
            return f"{name} cannot be used", _first_value(first["input"]), message, ""
    name = error.argument.name if error.argument is not None else "a value"
    if isinstance(error, ValidationError):
        return f"{name} cannot be used", "", error.exception_message, ""
    token = error.token
    got = shown(token.value) if token is not None else ""
    if get_origin(error.target_type) is Literal:
        choices = [str(one) for one in get_args(error.target_type)]
        return f"{name} cannot be used", got, ", ".join(choices), _near(token.value if token else "", choices)
    kind = getattr(error.target_type, "__name__", str(error.target_type)) if error.target_type is not None else ""
    words = {"int": "a whole number", "float": "a number", "bool": "yes or no"}
    return f"{name} cannot be used", got, words.get(kind, kind), ""


def _first_value(value: Any) -> str:
    return "" if isinstance(value, (dict, list, tuple)) else shown(value)


def _near(word: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(names), n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else ""


def _help_of(error: CycloptsError) -> str:
    chain = " ".join(error.command_chain or ())
    return f"see protonqa {chain} --help" if chain else "see protonqa --help"
