"""`train`: recipe -> training set -> calibrated, carded weights. Killed at any moment, the next call goes on."""

from __future__ import annotations

import time
from collections.abc import Callable

from protonqa.app.progress import stages
from protonqa.app.train_values import SetMade, Trained, TrainParams


def make_set(params: TrainParams, *, progress: Callable[[float, float, str], None] | None = None) -> SetMade:
    """Make the training set of a recipe where it is not there yet; killed at any moment, the next call goes on.

    Raises
    ------
    InputError
        A recipe that cannot be used, or patients that could not be computed.
    StoreError
        The folder cannot be written, or holds another set.
    Cancelled
    """
    from protonqa.jobs.runner import backend_for
    from protonqa.range_model.recipe import load_recipe, shipped_recipe
    from protonqa.range_model.training_set import make_training_set

    began = time.perf_counter()
    recipe = shipped_recipe() if params.config is None else load_recipe(params.config)
    folder = params.training_set or params.out / "training-set"
    backend = backend_for(params.set_workers, params.scheduler)
    manifest = make_training_set(recipe.training_set, folder, on=backend, progress=progress)
    return SetMade(folder=folder, rays=manifest.n_ray, set_hash=manifest.set_hash, seconds=time.perf_counter() - began)


def train(params: TrainParams, *, progress: Callable[[float, float, str], None] | None = None) -> Trained:
    """Make the training set where it is not there yet, train, calibrate, test and save; with a case, for one patient.

    Raises
    ------
    InputError
        A recipe that cannot be used.
    StoreError
        The folders cannot be written, or hold another training.
    Cancelled
    """
    if params.start is not None or params.case is not None:
        from protonqa.app.train_patient import train_patient

        return train_patient(params, progress=progress)
    from protonqa.range_model.pipeline import train_model
    from protonqa.range_model.recipe import load_recipe, shipped_recipe
    from protonqa.range_model.shards import read_training_set

    began = time.perf_counter()
    recipe = shipped_recipe() if params.config is None else load_recipe(params.config)
    simulating, training = stages(progress, (1, 1))
    made = make_set(params, progress=simulating)
    table = read_training_set(made.folder)
    model = train_model(
        recipe.training,
        table,
        params.out,
        recipe=recipe.model_dump(mode="json"),
        threads=params.threads,
        workers=params.workers,
        progress=training,
    )
    return Trained(
        folder=params.out,
        rays=made.rays,
        set_hash=made.set_hash,
        seconds=time.perf_counter() - began,
        metrics=tuple(row.model_dump(mode="json") for row in model.card.metrics),
    )
