"""The recipe of a model: what is simulated and how it is trained, as one file with one seed."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from protonqa.errors import InputError
from protonqa.range_model.config import Settings, canonical_hash
from protonqa.range_model.set_config import TrainingSetConfig
from protonqa.range_model.training import TrainConfig

SHIPPED_RECIPE = "shipped_recipe.yaml"


class Recipe(Settings):
    """Training set and training; what a file leaves out keeps its default. ``seed`` rules both parts."""

    seed: int = Field(1, ge=0, lt=2**31)
    training_set: TrainingSetConfig = TrainingSetConfig()
    training: TrainConfig = TrainConfig()

    def seeded(self) -> Recipe:
        """The recipe with its one seed in both parts."""
        return self.model_copy(
            update={
                "training_set": self.training_set.model_copy(update={"seed": self.seed}),
                "training": self.training.model_copy(update={"seed": self.seed}),
            }
        )

    def set_identity(self) -> str:
        """Hash of everything that decides the training set."""
        return canonical_hash(self.training_set.model_dump(mode="json"))


def shipped_recipe() -> Recipe:
    """The recipe of the weights that come with protonqa."""
    text = files("protonqa.range_model").joinpath(SHIPPED_RECIPE).read_text(encoding="utf-8")
    return recipe_from_text(text)


def load_recipe(path: Path) -> Recipe:
    """A recipe from YAML.

    Raises
    ------
    InputError
        Unreadable, not YAML, or a key or value that is not known, with its place.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("training recipe cannot be read", got=type(error).__name__) from error
    return recipe_from_text(text)


def recipe_from_text(text: str) -> Recipe:
    """A recipe from YAML text; raises InputError as `load_recipe`."""
    try:
        content: Any = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, RecursionError) as error:
        raise InputError("training recipe is not valid YAML", got=" ".join(str(error).split())[:160]) from error
    try:
        return Recipe.model_validate({} if content is None else content).seeded()
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"]) or "the file"
        raise InputError(f"training recipe is wrong at {place}", got=str(first["msg"])[:160]) from error
