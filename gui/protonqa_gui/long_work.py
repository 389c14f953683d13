"""Work of minutes and hours in a worker of its own, so that cases can be looked at meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QTabWidget

from protonqa.analyses.result_json import result_from_json
from protonqa.errors import ProtonQAError
from protonqa_gui.batch_page import BatchPage, batch_text
from protonqa_gui.quality_page import CommissioningPage, TrendPage
from protonqa_gui.study_page import StudyPage
from protonqa_gui.theme import Theme
from protonqa_gui.worker import Job, Worker

if TYPE_CHECKING:
    from protonqa_gui.main_window import MainWindow


class LongWork(QObject):
    """Pages of studies, batches, acceptance tests and trends, and what they ask for."""

    finished = Signal(str)

    def __init__(self, window: MainWindow, background: Worker, workers: int) -> None:
        super().__init__(window)
        self._window, self._worker = window, background
        self.study = StudyPage(window.worker)
        self.batch = BatchPage()
        self.batch.workers.setValue(workers)
        self.commissioning = CommissioningPage()
        self.trend = TrendPage(window.worker, window.session / "trend")
        self.quality = QTabWidget()
        self.quality.addTab(self.commissioning, self.tr("Acceptance tests"))
        self.quality.addTab(self.trend, self.tr("Trends"))
        self.study.run_wanted.connect(self._run_study)
        self.study.report_wanted.connect(self._open_report)
        self.batch.run_wanted.connect(self._run_batch)
        self.batch.case_wanted.connect(window.open_folder)
        self.commissioning.run_wanted.connect(self._run_commissioning)
        for page in (self.study, self.batch, self.commissioning, self.trend):
            page.told.connect(window.tell)
        background.changed.connect(self._on_worker)

    def set_about(self, about: dict[str, Any]) -> None:
        """What this computer offers, as the task ``list`` says it."""
        self.batch.set_analyses(about["analyses"])
        self.commissioning.set_analyses(about["analyses"])
        self.trend.set_form(about["trend_form"])
        self.refresh_tests()

    def refresh_tests(self) -> None:
        """Ask for the stored acceptance tests."""
        self._window.worker.submit("commissionings", {}).done.connect(self.commissioning.set_tests)

    def set_theme(self, theme: Theme) -> None:
        """Colours of the figures."""
        self.study.result.set_theme(theme)

    def _submit(self, task: str, given: dict[str, Any], title: str, done: Callable[[Any], None]) -> Job:
        window = self._window
        job = self._worker.submit(task, {**given, "device": window.device, "seed": window.analyses.seed.value()}, title)
        job.done.connect(done)
        job.failed.connect(lambda code, text: window.tell("error", f"{title} [{code}]: {text}"))
        job.cancelled.connect(
            lambda: window.tell("note", self.tr("{title}: cancelled; what was finished stays.").format(title=title))
        )
        return job

    def _run_study(self, file: str) -> None:
        given = {"file": file, "out": self._folder("study"), "workers": self.batch.workers.value()}
        self._submit("study", given, self.tr("Study"), self._on_study)

    def _on_study(self, found: dict[str, Any]) -> None:
        window = self._window
        try:
            text = (Path(found["out"]) / "result.json").read_text(encoding="utf-8")
            self.study.result.set_result(result_from_json(text))
        except (OSError, UnicodeDecodeError, ProtonQAError):
            window.tell("error", self.tr("The study is done, but its result cannot be read."))
            return
        self.study.set_finished(found["out"])
        window.tell("done", self.tr("Study finished: {reason}").format(reason=found["reason"]))
        self.finished.emit("study")

    def _open_report(self, folder: str) -> None:
        self._window.report.set_result(folder, {})
        self._window.tabs.setCurrentWidget(self._window.report)

    def _run_batch(self, analysis: str, cases: list[dict[str, str]], workers: int, report: bool) -> None:
        window = self._window
        out = self._folder("batch")
        params = window.analyses.values_of(analysis)
        file = Path(window.session) / f"{Path(out).name}.yaml"
        try:
            file.write_text(batch_text(analysis, cases, params, window.analyses.seed.value()), encoding="utf-8")
        except OSError as error:
            window.tell("error", self.tr("The batch file was not written: {why}").format(why=error.strerror))
            return
        given = {"file": str(file), "out": out, "workers": workers, "report": report}
        self._submit("batch", given, self.tr("Batch"), self._on_batch)

    def _on_batch(self, found: dict[str, Any]) -> None:
        self.batch.set_summary(found)
        kind = {"PASS": "done", "FAIL": "error", "ERROR": "error"}.get(found["state"], "note")
        self._window.tell(kind, self.tr("Batch finished: {counts}").format(counts=self.batch.counts.text()))
        self.finished.emit("batch")

    def _run_commissioning(self, name: str, quick: bool) -> None:
        given = {"name": name, "quick": quick, "out": self._folder(f"commissioning-{name}")}
        self._submit("commission", given, self.tr("Acceptance test of {name}").format(name=name), self._on_tested)

    def _on_tested(self, found: dict[str, Any]) -> None:
        self.commissioning.set_outcome(found)
        self.refresh_tests()
        self._window.ask_about()
        kind, text = ("done", self.tr("passed")) if found["passed"] else ("error", self.tr("failed"))
        told = self.tr("Acceptance test {text}; the page lies in {out}")
        self._window.tell(kind, told.format(text=text, out=found["out"]))
        self.finished.emit("commission")

    def _on_worker(self) -> None:
        free = not self._worker.busy
        self.study.run.setEnabled(free and self.study.wanted is not None)
        self.batch.run.setEnabled(free and bool(self.batch.folders()))
        self.commissioning.run.setEnabled(free)

    def _folder(self, kind: str) -> str:
        return str(self._window.results / f"{kind}-{time.strftime('%Y%m%d-%H%M%S')}")
