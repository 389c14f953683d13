"""Help of a parameter from its schema alone: title, what it is for, unit, bounds, default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protonqa.analyses.interface import AnalysisParams

_BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")


def parameter_help(schema: type[AnalysisParams]) -> dict[str, str]:
    """For each parameter ``Title. Description (unit, bounds) [default: value]``; choices are listed by the parser."""
    plain = schema.model_json_schema()
    required = set(plain.get("required", ()))
    return {
        name: _text(name, one, plain.get("$defs", {}), required=name in required)
        for name, one in plain.get("properties", {}).items()
    }


def _text(name: str, one: Mapping[str, Any], known: Mapping[str, Any], *, required: bool) -> str:
    title = str(one.get("title") or name.replace("_", " "))
    text = f"{title}. {one['description']}" if one.get("description") else title
    facts = [str(one["unit"])] if one.get("unit") else []
    facts += [found] if (found := limits_text(one, known)) else []
    text += f" ({', '.join(facts)})" if facts else ""
    if required:
        return f"{text} [required]"
    default = one.get("default")
    return text if default in (None, "") else f"{text} [default: {_value(default)}]"


def limits_text(one: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """Bounds of a number, lengths of a list or text, in words; empty where there are none."""
    schema = _resolved(one, known)
    words = []
    if bounds := _range_text(*(schema.get(name) for name in _BOUNDS)):
        words.append(bounds)
    if schema.get("multipleOf") is not None:
        words.append(f"multiple of {_number(schema['multipleOf'])}")
    if schema.get("type") == "array":
        words += _list_words(schema, known)
    length = _range_text(schema.get("minLength"), None, schema.get("maxLength"), None)
    if schema.get("type") == "string" and length:
        words.append(f"{length} letters")
    if schema.get("type") == "object" and schema.get("additionalProperties") not in (None, False):
        words.append("NAME: VALUE pairs")
    return ", ".join(words)


def _list_words(schema: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    low, high = schema.get("minItems"), schema.get("maxItems")
    items: object = schema.get("items") or next(iter(schema.get("prefixItems", ())), None)
    words = [f"{low} values" if low == high else f"{_range_text(low, None, high, None)} values"] if low or high else []
    each = limits_text(items, known) if isinstance(items, Mapping) else ""
    return [*words, f"each {each}"] if each else words


def _resolved(one: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema itself, of ``X | None`` that of X, of a reference what it points to."""
    if "$ref" in one:
        found: Mapping[str, Any] = known.get(str(one["$ref"]).rpartition("/")[2], {})
        return found
    kept = [part for part in one.get("anyOf", ()) if part.get("type") != "null"]
    return _resolved(kept[0], known) if len(kept) == 1 else one


def _range_text(low: float | None, above: float | None, high: float | None, below: float | None) -> str:
    start = _number(low) if low is not None else f"above {_number(above)}" if above is not None else ""
    if high is None and below is None:
        return f"{start} or more" if low is not None else start
    end = _number(high) if high is not None else f"below {_number(below)}"
    if start:
        return f"{start} to {end}"
    return f"at most {end}" if high is not None else end


def _value(default: object) -> str:
    if isinstance(default, (list, tuple)):
        return " ".join(_value(one) for one in default) or "none"
    if isinstance(default, bool):
        return "yes" if default else "no"
    return _number(default) if isinstance(default, (int, float)) else str(default)


def _number(value: float | None) -> str:
    """Whole numbers in full, others with the digits they have."""
    if value is None:
        return ""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:g}"
