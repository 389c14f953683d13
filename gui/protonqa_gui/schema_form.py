"""A form from the JSON schema of an analysis: units, bounds, help, reset; it gives back only what differs."""

from __future__ import annotations

import json
from typing import Any

from pyqtgraph.parametertree import Parameter, ParameterTree
from PySide6.QtCore import Signal
from PySide6.QtGui import QUndoCommand, QUndoStack
from PySide6.QtWidgets import QVBoxLayout, QWidget

_NUMBERS = {"number": "float", "integer": "int"}
_WIDEST = {"float": 1e15, "int": 2_147_483_647}


class _Change(QUndoCommand):
    """From one state of the form to the next; typing in one field is one step."""

    def __init__(self, form: SchemaForm, before: dict[str, Any], after: dict[str, Any]) -> None:
        super().__init__(form.tr("change of parameters"))
        self._form, self._before, self._after = form, before, after

    def undo(self) -> None:
        self._form.restore(self._before)

    def redo(self) -> None:
        self._form.restore(self._after)


class SchemaForm(QWidget):
    """Signal ``changed``: a value is another one."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._schema: dict[str, Any] = {}
        self._fields: dict[str, Parameter] = {}
        self._root: Parameter | None = None
        self._settled: dict[str, Any] = {}
        self._restoring = False
        self.undo = QUndoStack(self)
        self.tree = ParameterTree(showHeader=False)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.tree)

    def set_schema(self, schema: dict[str, Any]) -> None:
        """Build the form anew."""
        self._schema = schema.get("properties", {})
        self._fields = {name: _field(name, about) for name, about in self._schema.items()}
        self._root = Parameter.create(name="parameters", type="group", children=list(self._fields.values()))
        self.tree.setParameters(self._root, showTop=False)
        self._settled = self._state()
        self.undo.clear()
        self._root.sigTreeStateChanged.connect(self._on_changed)

    def set_value(self, name: str, value: Any) -> None:
        """Set a field as a user would."""
        about = self._schema[name]
        self._fields[name].setValue(_shown(value) if _as_text(about) else value)

    def reset(self) -> None:
        """All fields to their defaults; one step of undo."""
        after = {name: one.defaultValue() for name, one in self._fields.items()}
        if after != self._settled:
            self.undo.push(_Change(self, self._settled, after))

    def restore(self, state: dict[str, Any]) -> None:
        """Show a state, as undo does."""
        self._restoring = True
        for name, value in state.items():
            self._fields[name].setValue(value)
        self._restoring = False
        self._settled = self._state()
        self.changed.emit()

    def _state(self) -> dict[str, Any]:
        return {name: one.value() for name, one in self._fields.items()}

    def _on_changed(self, *_: object) -> None:
        if self._restoring:
            return
        after = self._state()
        if after != self._settled:
            self.undo.push(_Change(self, self._settled, after))

    def values(self) -> dict[str, Any]:
        """Values that differ from their defaults, as JSON types; use `problems` first."""
        return {name: value for name, (value, _) in self._read().items() if value is not _UNCHANGED}

    def problems(self) -> list[str]:
        """What cannot be used, a line each; the schema itself has the last word when the analysis runs."""
        return [f"{_title(name, self._schema[name])}: {text}" for name, (_, text) in self._read().items() if text]

    def _read(self) -> dict[str, tuple[Any, str]]:
        return {name: _value_of(about, self._fields[name]) for name, about in self._schema.items()}


_UNCHANGED = object()


def _field(name: str, about: dict[str, Any]) -> Parameter:
    options: dict[str, Any] = {"name": name, "title": _title(name, about)}
    default = about.get("default")
    tip = [about.get("description", ""), _bounds_text(about), f"--{name.replace('_', '-')}"]
    options["tip"] = "\n".join(part for part in tip if part)
    if "enum" in about:
        return Parameter.create(**options, type="list", limits=about["enum"], value=default, default=default)
    if about.get("type") == "boolean":
        return Parameter.create(**options, type="bool", value=bool(default), default=bool(default))
    if _as_text(about):
        unit = about.get("unit", "")
        options["title"] += f" ({unit})" if unit else ""
        return Parameter.create(**options, type="str", value=_shown(default), default=_shown(default))
    kind = _NUMBERS[about["type"]]
    low = about.get("minimum", about.get("exclusiveMinimum", -_WIDEST[kind]))
    high = about.get("maximum", about.get("exclusiveMaximum", _WIDEST[kind]))
    options |= {"limits": [low, high], "decimals": 9, "compactHeight": False}
    options |= {"suffix": about["unit"], "siPrefix": False} if about.get("unit") else {}
    if kind == "float":
        options["step"] = 0.5 if default else 0.1
    return Parameter.create(**options, type=kind, value=default, default=default)


def _title(name: str, about: dict[str, Any]) -> str:
    given = about.get("title", "")
    return str(given or name.replace("_", " "))


def _as_text(about: dict[str, Any]) -> bool:
    """Texts, lists, and everything that may be absent, are typed; an empty line is no value."""
    return "enum" not in about and about.get("type") not in (*_NUMBERS, "boolean")


def _shown(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _value_of(about: dict[str, Any], field: Parameter) -> tuple[Any, str]:
    """Value and what is wrong with it."""
    value = field.value()
    if not _as_text(about):
        return (_UNCHANGED, "") if value == about.get("default") else (value, _outside(value, about))
    text = str(value).strip()
    if text == _shown(about.get("default")).strip():
        return _UNCHANGED, ""
    kinds = [one for one in about.get("anyOf", [about]) if one.get("type") != "null"]
    if any(one.get("type") == "string" for one in kinds):
        return text, ""
    if not text:
        return None, ""
    try:
        read = json.loads(text)
    except ValueError:
        return text, f"got {text!r}, expected {_bounds_text(about) or 'a number'}"
    return read, _outside(read, kinds[0])


def _outside(value: Any, about: dict[str, Any]) -> str:
    if about.get("type") not in _NUMBERS:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"got {value!r}, expected a number"
    if about["type"] == "integer" and not isinstance(value, int):
        return f"got {value!r}, expected a whole number"
    low, high = about.get("minimum"), about.get("maximum")
    above, below = about.get("exclusiveMinimum"), about.get("exclusiveMaximum")
    fits = (low is None or value >= low) and (high is None or value <= high)
    fits = fits and (above is None or value > above) and (below is None or value < below)
    return "" if fits else f"got {value:g}, expected {_bounds_text(about)}"


def _bounds_text(about: dict[str, Any]) -> str:
    for one in (about, *about.get("anyOf", [])):
        parts = [
            f"{word} {one[key]:g}"
            for key, word in (
                ("minimum", "at least"),
                ("exclusiveMinimum", "above"),
                ("maximum", "at most"),
                ("exclusiveMaximum", "below"),
            )
            if key in one
        ]
        if parts:
            return ", ".join(parts)
    return ""
