"""The YAML reader by its former name; it lives in ``protonqa.yaml_lines``."""

from protonqa.yaml_lines import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_NODES,
    LinedDocument,
    LocatedError,
    Location,
    checked,
    nearest,
    read_yaml,
)

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_NODES",
    "LinedDocument",
    "LocatedError",
    "Location",
    "checked",
    "nearest",
    "read_yaml",
]
