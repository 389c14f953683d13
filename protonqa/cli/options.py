"""Options of a command from a parameter schema of which some fields are plain arguments."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from cyclopts import Parameter
from pydantic import BaseModel, create_model

SchemaT = TypeVar("SchemaT", bound=BaseModel)

#: ``--enable``, and ``--plugins`` as it was called first.
Enable = Annotated[
    tuple[str, ...] | None, Parameter(name=("--enable", "--plugins"), consume_multiple=True, negative="")
]
NoPlugins = Annotated[bool, Parameter(negative="")]
#: One option for each field; lists get no ``--empty-...`` beside them.
OPTIONS = Parameter(name="*", negative_iterable=(), consume_multiple=True)


def without(schema: type[BaseModel], *names: str) -> Any:
    """The schema less the fields that the command takes as arguments, with the same bounds and help."""
    fields: dict[str, Any] = {
        name: (field.annotation, field) for name, field in schema.model_fields.items() if name not in names
    }
    return create_model(schema.__name__, __config__=schema.model_config, **fields)


def completed(schema: type[SchemaT], options: BaseModel, **arguments: Any) -> SchemaT:
    """The schema from its options and arguments; what the user left out counts as not given."""
    given = {name: getattr(options, name) for name in options.model_fields_set}
    return schema(**given, **arguments)
