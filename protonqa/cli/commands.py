"""The commands, in the order of the help page: name, where its function lives, one line of help."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A command; ``function`` is ``module:function`` and is imported when the command is called.

    ``own_help`` is for commands whose options depend on their first argument: they parse the rest themselves.
    """

    name: str
    function: str
    help: str
    own_help: bool = False


COMMANDS = (
    Command("demo", "protonqa.cli.demo:demo", "A phantom case with a hidden range error, from DICOM to the report."),
    Command("verify", "protonqa.cli.verify:verify", "The main job: range difference, verdict and report of a patient."),
    Command("phantom", "protonqa.cli.phantom:phantom", "Voxelise a phantom or digital twin, as .mha or DICOM CT."),
    Command("plan", "protonqa.cli.plan:plan", "Make a field for a spherical target, as RT Ion Plan."),
    Command("simulate", "protonqa.cli.simulate:simulate", "Monte Carlo of a pencil beam or of a plan."),
    Command("expected-pet", "protonqa.cli.expected_pet:expected_pet", "The PET that a plan should leave, as DICOM."),
    Command("activity", "protonqa.cli.activity:activity", "Time line, washout and window on a simulated profile."),
    Command("predict", "protonqa.cli.predict:predict", "Range and depth dose from activity profiles."),
    Command("train", "protonqa.cli.train:train", "Training set, model, calibrated weights with their card."),
    Command("study", "protonqa.cli.study:app", "Sensitivity study: template, run, one cell again."),
    Command("run", "protonqa.cli.run:run", "Run an analysis on files.", own_help=True),
    Command("batch", "protonqa.cli.batch:batch", "One analysis over many cases, resumable; or a folder watch."),
    Command("analyses", "protonqa.cli.analyses:analyses", "List the analyses, their inputs and parameters."),
    Command("commission", "protonqa.cli.commission:commission", "Acceptance tests with known truth."),
    Command("history", "protonqa.cli.history:app", "Past results: list, show, compare, amend, back up, export."),
    Command("trend", "protonqa.cli.trend:trend", "Control charts of past results, by machine, site or field."),
    Command("gui", "protonqa.cli.gui:gui", "The desktop program (extra: pip install protonqa[gui])."),
    Command("benchmark", "protonqa.cli.benchmark:benchmark", "Speed of this computer."),
    Command("config", "protonqa.cli.config:app", "The site file: check, show, template."),
    Command("doctor", "protonqa.cli.doctor:doctor", "What this computer has, and whether it computes correctly."),
)
