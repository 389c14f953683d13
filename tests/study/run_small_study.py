"""A process that computes the small study in a folder, to be killed: argv is the study file and the folder."""

from __future__ import annotations

import sys
from pathlib import Path

from protonqa.jobs.runner import backend_for
from protonqa.study.run import run_study
from protonqa.study.settings import load_study

if __name__ == "__main__":
    run_study(load_study(Path(sys.argv[1])), Path(sys.argv[2]), on=backend_for(0))
