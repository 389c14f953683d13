"""YAML as a tree whose every node knows its line; nothing is constructed from tags, so no text becomes an object."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from protonqa.errors import CalibrationError, InputError
from protonqa.files.csv_table import nearest, printable

#: Deeper nesting than any file of ours; the parser needs quadratic time for it.
_MAX_DEPTH = 16
_NUMBER_TAGS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class Node:
    """One value of a YAML file: asked for what it should be, it answers or raises with its line."""

    def __init__(self, node: Any, what: str) -> None:
        self._node = node
        self._what = what

    @property
    def line(self) -> int:
        """Line in the file, from 1."""
        return int(self._node.start_mark.line) + 1

    def error(self, problem: str, got: str, expected: str, remedy: str = "") -> InputError:
        """An error about this node."""
        got = f"{got} in line {self.line}".strip()
        return CalibrationError(f"the {self._what} {problem}", got=got, expected=expected, remedy=remedy)

    def mapping(self) -> dict[str, Node]:
        """Keys and values of a mapping; raises when it is none or has a key twice."""
        if not isinstance(self._node, MappingNode):
            raise self.error("holds something else than keys and values", self._kind(), "lines of 'key: value'")
        found: dict[str, Node] = {}
        for key, value in self._node.value:
            if not isinstance(key, ScalarNode) or key.value in found:
                raise Node(key, self._what).error("has a key twice or a key that is no text", "", "plain keys")
            found[str(key.value)] = Node(value, self._what)
        return found

    def check_keys(self, known: Sequence[str], *, required: Sequence[str]) -> None:
        """Refuse unknown keys, naming the nearest known one, and missing ones."""
        keys = self.mapping()
        for key, value in keys.items():
            if key not in known:
                near = nearest(key, known)
                raise value.error(
                    f"has an unknown key '{printable(key)}'",
                    "it",
                    ", ".join(known),
                    f"did you mean '{near}'?" if near else "",
                )
        for key in required:
            if key not in keys:
                raise self.error(f"has no key '{key}'", f"{len(keys)} keys", ", ".join(required))

    def get(self, key: str) -> Node | None:
        """The value of a key, or None."""
        return self.mapping().get(key)

    def item(self, key: str) -> Node:
        """The value of a key that must be there."""
        found = self.get(key)
        if found is None:
            raise self.error(f"has no key '{key}'", "none", key)
        return found

    def items(self) -> list[Node]:
        """Entries of a list."""
        if not isinstance(self._node, SequenceNode):
            raise self.error("holds something else than a list", self._kind(), "a list")
        return [Node(value, self._what) for value in self._node.value]

    def number(self) -> float:
        """A finite number."""
        value = math.nan
        if isinstance(self._node, ScalarNode) and str(self._node.tag) in _NUMBER_TAGS:
            try:
                value = float(self._node.value)
            except ValueError:
                value = math.nan
        if not math.isfinite(value):
            raise self.error("holds something that is not a number", self._kind(), "a finite number")
        return value

    def text(self) -> str:
        """A single value as written."""
        if not isinstance(self._node, ScalarNode):
            raise self.error("holds something else than one text", self._kind(), "a text")
        return str(self._node.value)

    def _kind(self) -> str:
        if isinstance(self._node, ScalarNode):
            return repr(printable(str(self._node.value), 20))
        return "a list" if isinstance(self._node, SequenceNode) else "keys and values"


def _check_depth(text: str, what: str) -> None:
    depth = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > _MAX_DEPTH:
            line = event.start_mark.line + 1
            raise CalibrationError(
                f"the {what} is nested too deeply", got=f"line {line}", expected=f"{_MAX_DEPTH} levels"
            )


def read_yaml(text: str, *, what: str) -> Node:
    """The root of a YAML document.

    Raises
    ------
    CalibrationError
        Not YAML, empty, several documents, or nested too deeply; with the line where there is one.
    """
    try:
        _check_depth(text, what)
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" in line {mark.line + 1}" if mark is not None else ""
        raise CalibrationError(
            f"the {what} is not valid YAML", got=f"{error.problem or 'an error'}{place}", expected="YAML"
        ) from error
    except (YAMLError, RecursionError, ValueError) as error:
        raise CalibrationError(f"the {what} is not valid YAML", got=type(error).__name__, expected="YAML") from error
    if root is None:
        raise CalibrationError(f"the {what} is empty", expected="keys and values")
    return Node(root, what)
