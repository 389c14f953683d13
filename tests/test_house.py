"""The house rules that no single room can hold: packaging, tables, sizes, documents."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import tomllib
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

import protonqa
from protonqa.cli.commands import COMMANDS
from protonqa.cli.frame import build_app
from protonqa.tables import table_header

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "protonqa": ROOT / "protonqa",
    "protonqa_gui": ROOT / "gui" / "protonqa_gui",
    "protonqa_phantoms": ROOT / "phantoms" / "protonqa_phantoms",
}
MODULES = sorted(path for folder in PACKAGES.values() for path in folder.rglob("*.py"))
TABLES = sorted(path.name for path in (ROOT / "protonqa" / "tables").glob("*.csv"))
MOST_LINES = 450


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tracked_files() -> list[Path]:
    """Files under version control; in an unpacked source archive the test that asks has no answer."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout: which files belong to the project is unknown")
    return [path for name in done.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names in a wheel built from this tree."""
    builders = pytest.importorskip("hatchling.builders.wheel", reason="hatchling comes with the test extra")
    folder = tmp_path_factory.mktemp("wheel")
    (wheel,) = builders.WheelBuilder(str(ROOT)).build(directory=str(folder))
    return set(zipfile.ZipFile(wheel).namelist())


def test_wheel_holds_every_module_table_phantom_and_weight(wheel_names):
    """A file the wheel leaves out is missed only by users, never in the clone."""
    wanted = {
        f"{package}/{path.relative_to(folder).as_posix()}"
        for package, folder in PACKAGES.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"protonqa/py.typed", "protonqa/tables/pstar.csv", "protonqa_phantoms/abdomen.yaml"} <= wanted
    assert wanted <= wheel_names


def test_wheel_holds_nothing_else(wheel_names):
    """Tests, documents and stray files of the top folder stay out of a user's site-packages."""
    assert {name.split("/")[0] for name in wheel_names if ".dist-info/" not in name} == set(PACKAGES)


def test_version_is_written_alike_in_package_metadata_and_changelog():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert protonqa.__version__ == declared
    assert newest is not None
    assert newest[1].strip("[]") == declared


def test_builtin_analyses_are_declared_as_entry_points():
    """Built-in analyses come through the same door as third-party ones."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["protonqa.analyses"]
    installed = {
        point.name: point.value for point in distribution("protonqa").entry_points if point.group == "protonqa.analyses"
    }
    assert installed == declared


@pytest.mark.parametrize("name", TABLES)
def test_table_says_what_it_is_and_where_it_comes_from(name):
    header = table_header(name)
    missing = [key for key in ("title", "unit", "source", "year", "licence") if not header.get(key)]
    assert missing == []


def test_every_module_says_what_it_is_for():
    silent = [relative(path) for path in MODULES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert silent == []


def test_no_module_has_outgrown_one_job():
    sizes = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: lines for name, lines in sizes.items() if lines > MOST_LINES} == {}


# Written in parts, or this file would name them itself.
FOREIGN_PATHS = tuple(
    "/".join(parts) for parts in (("", "work", ""), ("", "root", ""), ("..", "shared"), ("", "home", ""))
)


def test_no_file_names_a_place_on_one_computer():
    """A path of the computer somebody worked on breaks on every other one."""
    found = []
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        # The check script of a machine may look beside the clone for reference data.
        starts = (word for word in FOREIGN_PATHS if re.search(rf"(?<![\w.-]){re.escape(word)}", text))
        words = [word for word in starts if relative(path) != ".ci/run"]
        found += [f"{relative(path)}: {word}" for word in words]
    assert found == []


def test_documented_model_figures_are_those_of_the_card():
    """Figures of an older model would flatter or slander the shipped one."""
    spec = importlib.util.spec_from_file_location("model_figures", ROOT / "docs" / "model_figures.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = script.PAGE.read_text(encoding="utf-8")
    assert script.page_with(script.figures(script.read_card()), page) == page, "run: python docs/model_figures.py"


def documents() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("path", documents(), ids=relative)
def test_document_links_lead_somewhere(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"(?<!!)\[[^\]]*\]\(([^)#\s]+)[^)]*\)", text)
    local = [target for target in targets if "://" not in target and not target.startswith("mailto:")]
    assert [target for target in local if not (path.parent / target).exists()] == []


def typed_commands(text: str) -> list[tuple[str, set[str]]]:
    """What a reader would type: command and options of every call of protonqa in code blocks and in inline code."""
    blocks = re.findall(r"```(?:sh|bash|text|console|powershell)?\n(.*?)```", text, flags=re.DOTALL)
    inline = re.findall(r"`(protonqa [^`]+)`", text)
    lines = "\n".join((*blocks, *inline)).replace("\\\n", " ").splitlines()
    calls = [re.search(r"(?:^|[\\/])protonqa ([a-z][a-z-]*)(.*)", line.strip()) for line in lines]
    return [(call[1], set(re.findall(r"(?<!\S)--[a-z][a-z-]*", call[2]))) for call in calls if call]


@pytest.mark.parametrize("path", documents(), ids=relative)
def test_document_shows_only_commands_and_options_that_exist(path):
    """A reader types what stands in a code block; the first error would be the last try."""
    app, own_help = build_app(), {command.name for command in COMMANDS if command.own_help}
    wrong = []
    for command, options in typed_commands(path.read_text(encoding="utf-8")):
        if command not in {one.name for one in COMMANDS}:
            wrong.append(command)
        elif command not in own_help:
            pages = [app[command], *(app[command][name] for name in app[command] if not name.startswith("-"))]
            able = [page for page in pages if page.default_command is not None]
            known = {name for page in able for one in page.assemble_argument_collection() for name in one.names}
            wrong += [f"{command} {option}" for option in sorted(options - known)]
    assert wrong == []


def test_typed_commands_are_found_in_documents():
    """The search itself: continued lines, a path before the program, inline code, and no word of running text."""
    block = "```sh\n.venv/bin/protonqa plan --ct ct/ \\\n   --out p.dcm\n```"
    text = f"protonqa is a program\n{block}\nor `protonqa verify --json`."
    assert typed_commands(text) == [("plan", {"--ct", "--out"}), ("verify", {"--json"})]
