"""The main window: start page, the four views, and the workers behind them."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QAction, QCloseEvent, QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QDockWidget, QFileDialog, QMainWindow, QStackedWidget, QTabWidget, QVBoxLayout, QWidget

from protonqa.analyses.result_json import result_from_json
from protonqa.app.field_rays import FieldRays, read_field_rays
from protonqa.errors import ProtonQAError
from protonqa_gui.analyses_panel import VERIFY, AnalysesPanel
from protonqa_gui.case_view import CaseView
from protonqa_gui.collector import Collector
from protonqa_gui.display_case import DisplayCase
from protonqa_gui.import_report import ImportReport
from protonqa_gui.long_work import LongWork
from protonqa_gui.messages import MessageBar
from protonqa_gui.profile_view import ProfileView
from protonqa_gui.report_view import ReportView
from protonqa_gui.settings import Settings
from protonqa_gui.start_page import StartPage
from protonqa_gui.status_line import StatusLine
from protonqa_gui.theme import apply_theme, theme_named
from protonqa_gui.window_menus import WindowMenus
from protonqa_gui.worker import Worker

#: The demo of the window: fewer protons than that of the command line, so that a newcomer waits for less.
DEMO_PROTONS = 100_000


#: Between two pieces of drawing, for the mouse and the keys.
_TURN_MS = 10


class MainWindow(QMainWindow):
    """One case at a time. Signals ``case_opened`` and ``result_shown(state)`` tell what has happened."""

    case_opened = Signal()
    result_shown = Signal(str)
    trouble = Signal(str)

    def __init__(self, results: Path, settings: Settings | None = None, *, device: str = "auto") -> None:
        super().__init__()
        self.settings = settings or Settings()
        self.results = results
        self.device = device
        self._session = tempfile.TemporaryDirectory(prefix="protonqa-window-", ignore_cleanup_errors=True)
        self.session = Path(self._session.name)
        self._opened_count = 0
        self._dock_wanted = True
        self.worker, self.background = Worker(self, threads=_cores()), Worker(self)
        # Nobody drags a slider and waits for a run at once: the answers get all cores.
        self.live = Worker(self, threads=_cores() + 1)
        self.case: DisplayCase | None = None
        self.demo_protons = DEMO_PROTONS
        self._make_views()
        self._arrange()
        self._connect()
        self.menus = WindowMenus(self)
        self.set_theme(self.settings.text("theme", "light"))
        self._restore()
        self.collector = Collector(self)
        self.collector.start()

    def _make_views(self) -> None:
        self.start = StartPage()
        self.case_view = CaseView()
        self.profiles = ProfileView(self.live)
        self.analyses = AnalysesPanel()
        self.report = ReportView(self.worker, self.session / "report")
        self.imported = ImportReport()
        self.messages = MessageBar()
        self.status = StatusLine(self.worker, self.background)
        self.long = LongWork(self, self.background, _cores())

    def _arrange(self) -> None:
        self.setWindowTitle("protonqa")
        self.setAcceptDrops(True)
        self.resize(1280, 860)
        self.tabs = QTabWidget()
        self.tabs.addTab(self.case_view, self.tr("&Case"))
        self.tabs.addTab(self.profiles, self.tr("P&rofiles"))
        self.tabs.addTab(self.analyses, self.tr("&Analyses"))
        self.tabs.addTab(self.report, self.tr("Rep&ort"))
        self.tabs.addTab(self.long.study, self.tr("&Study"))
        self.tabs.addTab(self.long.batch, self.tr("&Batch"))
        self.tabs.addTab(self.long.quality, self.tr("&Quality"))
        self.stack = QStackedWidget()
        self.stack.addWidget(self.start)
        self.stack.addWidget(self.tabs)
        centre = QWidget()
        column = QVBoxLayout(centre)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.messages)
        column.addWidget(self.stack, 1)
        self.setCentralWidget(centre)
        self.setStatusBar(self.status)
        self.dock = QDockWidget(self.tr("Import report"), self)
        self.dock.setObjectName("import-report")
        self.dock.setWidget(self.imported)
        self.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self.dock)
        self.dock.hide()
        self.resizeDocks([self.dock], [320], Qt.Orientation.Horizontal)

    def _connect(self) -> None:
        self.start.demo_wanted.connect(self.open_demo)
        self.start.folder_wanted.connect(self.ask_folder)
        self.start.case_wanted.connect(self.open_folder)
        self.case_view.ray_chosen.connect(self.profiles.set_ray)
        self.profiles.ray_chosen.connect(self.case_view.choose_ray)
        self.profiles.trouble.connect(lambda text: self.tell("error", text))
        self.analyses.run_wanted.connect(self.run_analysis)
        self.analyses.told.connect(self.tell)
        self.report.told.connect(self.tell)
        self.worker.changed.connect(self._on_worker)
        self.tabs.currentChanged.connect(self._on_tab)
        self.dock.toggleViewAction().triggered.connect(self._on_dock)

    def warm_up(self) -> None:
        """Spawn the workers and ask what there is; called once the window is on the screen."""
        self.ask_about()
        self.live.warm_up()
        self.start.set_recent(self.settings.recent_cases())

    def ask_about(self) -> None:
        """Ask what there is: analyses, device, model, commissioning."""
        job = self.worker.submit("list", {"device": self.device})
        job.done.connect(self._on_listed)
        job.failed.connect(lambda code, text: self._fail(self.tr("Analyses"), code, text))

    def tell(self, kind: str, text: str) -> None:
        """A message of kind ``error``, ``done`` or ``note``."""
        self.messages.show_text(kind, text)
        if kind == "error":
            self.trouble.emit(text)

    def ask_folder(self) -> None:
        """Let the user choose a folder and open it."""
        start = self.settings.text("last_folder")
        folder = QFileDialog.getExistingDirectory(self, self.tr("Folder with CT, PET, plan and dose"), start)
        if folder:
            self.settings.set_text("last_folder", str(Path(folder).parent))
            self.open_folder(folder)

    def open_folder(self, folder: str) -> None:
        """Open the case in a folder or archive."""
        self._opened_count += 1
        views = self.session / f"views-{self._opened_count}"
        self.messages.clear()
        job = self.worker.submit("open", {"folder": folder, "views": str(views)}, self.tr("Opening the case"))
        job.done.connect(lambda plain: self._on_opened(folder, plain))
        job.failed.connect(lambda code, text: self._fail(self.tr("The case was not opened"), code, text))

    def open_demo(self) -> None:
        """Make the demo case, unless it is there from last time, and open it."""
        folder = self.results / "demo-case"
        given = {"folder": str(folder), "seed": 1, "protons": self.demo_protons}
        job = self.worker.submit("demo", given, self.tr("Making the demo case (once)"))
        job.done.connect(self.open_folder)
        job.failed.connect(lambda code, text: self._fail(self.tr("The demo was not made"), code, text))

    def verify(self) -> None:
        """Run range verification on the open case with the values of its form."""
        if self.case is None or not self.analyses.choose(VERIFY):
            self.tell("note", self.tr("Open a case first."))
            return
        self.analyses.start()

    def run_analysis(self, name: str, inputs: dict[str, str], params: dict[str, Any], seed: int) -> None:
        """Run an analysis in the worker; the result goes to a folder of its own."""
        self.messages.clear()
        out = self.results / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
        given = {
            "name": name,
            "inputs": inputs,
            "params": params,
            "out": str(out),
            "rays": str(self.session / f"rays-{out.name}"),
            "seed": seed,
            "device": self.device,
        }
        job = self.worker.submit("run", given, name)
        job.done.connect(lambda found: self._on_result(found, inputs))
        job.failed.connect(lambda code, text: self._fail(self.tr("{name} failed").format(name=name), code, text))
        job.cancelled.connect(lambda: self.tell("note", self.tr("Cancelled; nothing was marked as done.")))

    def show_rays(self, path: str) -> FieldRays:
        """Show the rays of a verified field everywhere."""
        rays = read_field_rays(Path(path), nuclei=False)
        self.profiles.set_rays(rays, path)
        self.case_view.set_rays(rays, limit_mm=6.0)
        return rays

    def set_theme(self, name: str) -> None:
        """Light or dark."""
        theme = theme_named(name)
        self.settings.set_text("theme", theme.name)
        apply_theme(theme)
        for view in (self.case_view, self.profiles, self.analyses, self.long):
            view.set_theme(theme)
        self.theme = theme

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802
        """Folders and archives may be dropped."""
        if any(one.isLocalFile() for one in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """Open what was dropped first."""
        paths = [one.toLocalFile() for one in event.mimeData().urls() if one.isLocalFile()]
        if paths:
            self.open_folder(paths[0])

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        """Remember the layout, end the workers, leave nothing behind."""
        self.settings.set_blob("geometry", self.saveGeometry())
        self.settings.set_blob("state", self.saveState())
        self.settings.set_blob("case-splitter", self.case_view.splitter.saveState())
        self.settings.set_blob("profile-splitter", self.profiles.splitter.saveState())
        self.settings.save()
        for one in (self.worker, self.live, self.background):
            one.close()
        self.collector.stop()
        self._session.cleanup()
        super().closeEvent(event)

    def _restore(self) -> None:
        restorers = {
            "geometry": self.restoreGeometry,
            "state": self.restoreState,
            "case-splitter": self.case_view.splitter.restoreState,
            "profile-splitter": self.profiles.splitter.restoreState,
        }
        for key, restore in restorers.items():
            if (value := self.settings.blob(key)) is not None:
                restore(value)
        self.dock.hide()

    def _on_listed(self, content: bytes) -> None:
        found = json.loads(content)
        if self.analyses.current is None:
            self.analyses.set_analyses(found["analyses"])
            self.long.set_about(found)
        self.status.set_about(found)

    def _on_opened(self, folder: str, plain: dict[str, Any]) -> None:
        self.case = DisplayCase.from_plain(folder, plain)
        self.profiles.clear()
        self.report.clear()
        self.analyses.result.clear()
        self.case_view.set_case(self.case)
        self.imported.set_case(self.case)
        self.analyses.set_case(self.case.paths)
        self.settings.add_recent(folder)
        self.start.set_recent(self.settings.recent_cases())
        self.stack.setCurrentWidget(self.tabs)
        self.tabs.setCurrentWidget(self.case_view)
        self._on_tab()
        self.setWindowTitle(f"{Path(folder).name} - protonqa")
        self.menus.refresh()
        # The slices get their size when they are laid out, and fit it then.
        QTimer.singleShot(0, self.case_view.fit)
        self.case_opened.emit()

    def _on_result(self, found: dict[str, Any], inputs: dict[str, str]) -> None:
        try:
            result = result_from_json((Path(found["out"]) / "result.json").read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, ProtonQAError) as error:
            text = error.line() if isinstance(error, ProtonQAError) else type(error).__name__
            self._fail(self.tr("The result cannot be shown"), "STORE", text)
            return
        self.analyses.result.set_result(result)
        self.report.set_result(found["out"], {name: path for name, path in inputs.items() if self.case is not None})
        kind = {"PASS": "done", "FAIL": "error"}.get(result.state.value, "note")
        self.messages.show_text(kind, f"{result.title or result.analysis}: {result.state.value}. {result.reason}")
        # In a turn of its own, so that the window does not stand still for both.
        QTimer.singleShot(_TURN_MS, lambda: self._show_all_rays(found["rays"], result.state.value))

    def _show_all_rays(self, paths: list[str], state: str) -> None:
        try:
            if paths:
                self.show_rays(paths[0])
        except ProtonQAError as error:
            self._fail(self.tr("The rays cannot be shown"), error.code, error.line())
            return
        self.result_shown.emit(state)

    def _fail(self, what: str, code: str, text: str) -> None:
        self.tell("error", f"{what} [{code}]: {text}")

    def _on_tab(self) -> None:
        """The import report stands beside the images only."""
        self.dock.setVisible(
            self._dock_wanted and self.case is not None and self.tabs.currentWidget() is self.case_view
        )

    def _on_dock(self, wanted: bool) -> None:
        self._dock_wanted = wanted

    def _on_worker(self) -> None:
        self.analyses.set_busy(self.worker.occupied)
        self.menus.refresh()

    def action(self, name: str) -> QAction:
        """An action of the menus by its name, for keys and scripts."""
        return self.menus.actions[name]


def _cores() -> int:
    from protonqa.device import usable_cores

    return max(usable_cores() - 1, 1)
