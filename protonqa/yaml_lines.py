"""YAML of ours, read as plain data and checked by a pydantic model; errors name the line and the nearest known key."""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from protonqa.errors import InputError

MAX_BYTES = 256 * 1024
MAX_NODES = 50_000
MAX_DEPTH = 12

Location = tuple[int | str, ...]
Model = TypeVar("Model", bound=BaseModel)


class LocatedError(ValueError):
    """A check over several keys that knows which of them to blame; pydantic carries it to `checked`."""

    def __init__(self, error: InputError, location: Location = ()) -> None:
        super().__init__(error.line())
        self.error = error
        self.location = location


@dataclass(frozen=True, slots=True, kw_only=True)
class LinedDocument:
    """Plain data (dict, list, str, int, float, bool, None) that remembers the line of every key."""

    plain: Any
    root: Any

    def line_of(self, location: Location) -> int:
        """Line (from 1) of the deepest part of `location` that is in the file."""
        node = self.root
        line = int(node.lc.line) + 1 if isinstance(node, CommentedMap | CommentedSeq) else 1
        for part in location:
            if isinstance(node, CommentedMap) and part in node:
                line = int(node.lc.key(part)[0]) + 1
            elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
                line = int(node.lc.item(part)[0]) + 1
            else:
                continue  # a union tag that pydantic puts into its path, or a key that is missing
            node = node[part]
        return line

    def path_of(self, location: Location) -> str:
        """Location for people: ``shapes[3] (box) size_mm``; items are counted from 1."""
        node, text = self.root, ""
        for part in location:
            if isinstance(part, int):
                text += f"[{part + 1}]"
            elif isinstance(node, CommentedMap) and part not in node and part in list(node.values()):
                text += f" ({part})"
                continue  # the tag that chose the member of a union is not a level of the file
            else:
                text += f" {part}" if text else part
            inside = isinstance(node, CommentedMap) and part in node
            inside = inside or (isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node))
            node = node[part] if inside else None
        return text or "the document"


def read_yaml(text: str, what: str) -> LinedDocument:
    """Read one YAML document without running or expanding anything.

    Tags are refused because they can name code, aliases because nine lines of them can mean a thousand million values.

    Parameters
    ----------
    text : str
        At most 256 KiB, 50 000 values, 12 levels.
    what : str
        What the document is, for messages: ``"phantom"``.

    Raises
    ------
    InputError
        Not YAML, a tag, an alias, a repeated key, several documents or too large; with the line.
    """
    size = len(text.encode("utf-8", errors="replace"))
    if size > MAX_BYTES:
        raise InputError(f"{what} file is too large", got=f"{size} bytes", expected=f"at most {MAX_BYTES} bytes")
    try:
        _refuse_hostile(text, what)
        root = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise InputError(f"{what} file is not valid YAML{where}", got=_first_line(error.problem)) from None
    except (YAMLError, ValueError) as error:
        raise InputError(f"{what} file is not valid YAML", got=_first_line(str(error))) from None
    return LinedDocument(plain=_plain(root), root=root)


def read_keys(text: str, what: str) -> LinedDocument:
    """As `read_yaml`; a document of nothing but comments is one without keys."""
    document = read_yaml(text, what)
    return read_yaml("{}", what) if document.plain is None else document


def checked(
    document: LinedDocument, model: type[Model], what: str, known_keys: Callable[[Location], Iterable[str]]
) -> Model:
    """The document as a `model`, or an InputError for the first wrong line.

    Parameters
    ----------
    known_keys : callable
        Location of a mapping -> the keys it may hold, for the "did you mean" of an unknown key.

    Raises
    ------
    InputError
        Names line, key, what was found and the nearest known key.
    """
    if not isinstance(document.plain, dict):
        raise InputError(
            f"{what} file holds no keys", got=type(document.plain).__name__, expected="lines of key: value"
        )
    try:
        return model.model_validate(document.plain)
    except ValidationError as error:
        # A misspelt key also leaves its right name missing: the misspelling is the error to name.
        items = sorted(
            error.errors(include_url=False),
            key=lambda item: (item["type"] != "extra_forbidden", document.line_of(_location(item))),
        )
        raise _as_input_error(items[0], document, len(items) - 1, known_keys) from None


def read_lined_file(path: Path, schema: type[Model], what: str) -> Model:
    """The content of a YAML file as `schema`.

    Parameters
    ----------
    what : str
        What the file is, for messages: ``"case"``, ``"batch"``.

    Raises
    ------
    InputError
        Not readable, not YAML, an unknown key (with its line and the nearest known one) or an unusable value.
    """
    return parse_lined(_text_of(path, what), schema, what)


def parse_lined(text: str, schema: type[Model], what: str) -> Model:
    """As `read_lined_file`, from text."""
    document = read_keys(text, what)
    return checked(document, schema, what, lambda location: known_keys(schema, location))


def known_keys(schema: type[BaseModel], location: Location) -> tuple[str, ...]:
    """Keys that a mapping at `location` may hold."""
    found: Any = schema
    for part in location:
        if isinstance(found, type) and issubclass(found, BaseModel) and isinstance(part, str):
            field = found.model_fields.get(part)
            found = None if field is None else field.annotation
        else:
            found = _member(found)
        found = _model_in(found)
    if isinstance(found, type) and issubclass(found, BaseModel):
        return tuple(found.model_fields)
    return ()


def nearest(word: str, known: Iterable[str]) -> str:
    """``"did you mean 'x'?"``, or nothing when no known word is near."""
    close = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else ""


def _location(item: Any) -> Location:
    cause = item.get("ctx", {}).get("error")
    extra = cause.location if isinstance(cause, LocatedError) else ()
    return tuple(item["loc"]) + tuple(extra)


def _as_input_error(
    item: Any, document: LinedDocument, others: int, known_keys: Callable[[Location], Iterable[str]]
) -> InputError:
    location = _location(item)
    path = document.path_of(location)
    where = f"line {document.line_of(location)}" + (f", and {others} more to correct" if others else "")
    cause = item.get("ctx", {}).get("error")
    if isinstance(cause, LocatedError):
        inner = cause.error
        return InputError(f"{inner.what} ({where})", got=inner.got, expected=inner.expected, remedy=inner.remedy)
    kind = item["type"]
    if kind == "extra_forbidden":
        known = sorted(known_keys(location[:-1]))
        what = f"unknown key '{_short(location[-1])}' in {document.path_of(location[:-1])} ({where})"
        return InputError(what, expected=f"one of {', '.join(known)}", remedy=nearest(str(location[-1]), known))
    if kind == "union_tag_invalid":
        tags = [tag.strip(" '") for tag in item["ctx"]["expected_tags"].split(",")]
        what = f"unknown {_discriminator(item)} '{_short(item['ctx']['tag'])}' in {path} ({where})"
        return InputError(what, expected=f"one of {', '.join(tags)}", remedy=nearest(str(item["ctx"]["tag"]), tags))
    if kind == "union_tag_not_found":
        return InputError(f"key '{_discriminator(item)}' is missing in {path} ({where})")
    if kind == "missing" and not isinstance(location[-1], int):
        return InputError(f"key '{location[-1]}' is missing in {document.path_of(location[:-1])} ({where})")
    return InputError(f"{path} is wrong ({where})", got=_short(repr(item["input"])), expected=_expected(item))


def _discriminator(item: Any) -> str:
    return str(item["ctx"]["discriminator"]).strip("'")


def _expected(item: Any) -> str:
    if item["type"] == "missing":
        return "more numbers in this list"
    if item["type"] == "string_pattern_mismatch":
        return f"text of the form {item['ctx']['pattern']}"
    return str(item["msg"]).removeprefix("Input should be ")


def _refuse_hostile(text: str, what: str) -> None:
    depth = documents = 0
    for count, event in enumerate(YAML(typ="safe", pure=True).parse(text)):
        kind = type(event).__name__
        line = event.start_mark.line + 1
        depth += kind.endswith(("SequenceStartEvent", "MappingStartEvent"))
        depth -= kind.endswith(("SequenceEndEvent", "MappingEndEvent"))
        documents += kind == "DocumentStartEvent"
        if kind == "AliasEvent" or getattr(event, "value", None) == "<<":
            raise InputError(f"{what} file uses an alias or merge key in line {line}", remedy="write the value out")
        if getattr(event, "tag", None) is not None:
            raise InputError(f"{what} file uses a tag in line {line}", got=_short(str(event.tag)), remedy="remove it")
        if depth > MAX_DEPTH:
            raise InputError(f"{what} file is nested too deeply in line {line}", expected=f"at most {MAX_DEPTH} levels")
        if count > MAX_NODES:
            raise InputError(f"{what} file holds too many values", expected=f"at most {MAX_NODES}")
        if documents > 1:
            raise InputError(f"{what} file holds a second document in line {line}", expected="one document")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return str(value)


def _short(text: object, limit: int = 60) -> str:
    words = str(text)
    return words if len(words) <= limit else words[: limit - 3] + "..."


def _first_line(text: str | None) -> str:
    return _short((text or "unreadable").strip().splitlines()[0] if (text or "").strip() else "unreadable", 120)


def _text_of(path: Path, what: str) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"the {what} file cannot be read", got=reason, remedy="check the name") from error
    if len(content) > MAX_BYTES:
        raise InputError(f"the {what} file is too large", expected=f"at most {MAX_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"the {what} file is not UTF-8 text", got=f"byte {error.start}") from error


def _model_in(annotation: Any) -> Any:
    """``Model | None`` and ``Annotated[Model, ...]`` as Model; a list or mapping as it is."""
    if get_origin(annotation) in (types.UnionType, Union):
        kept = [one for one in get_args(annotation) if one is not type(None)]
        return kept[0] if len(kept) == 1 else annotation
    return annotation


def _member(annotation: Any) -> Any:
    """What a list or mapping holds."""
    arguments = get_args(annotation)
    if not arguments:
        return None
    origin = get_origin(annotation)
    return arguments[1] if origin in (dict, Mapping) and len(arguments) > 1 else arguments[0]
