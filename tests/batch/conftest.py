"""A site with the distribution probe-qa 1.0, and folders of cases for it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.fixture(scope="session")
def probe_site(tmp_path_factory):
    site = tmp_path_factory.mktemp("probe-site")
    shutil.copy(HERE / "probe_plugin.py", site / "probe_plugin.py")
    info = site / "probe_qa-1.0.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: probe-qa\nVersion: 1.0\nSummary: A probe\n")
    info.joinpath("entry_points.txt").write_text("[protonqa.analyses]\nprobe = probe_plugin:Probe\n")
    return site


@pytest.fixture
def probe(probe_site, monkeypatch):
    """The plugin installed and enabled, here and in the workers."""
    from protonqa.app import case_run

    monkeypatch.syspath_prepend(str(probe_site))
    monkeypatch.setenv("PROTONQA_PLUGINS", "probe-qa==1.0")
    case_run._analysis.cache_clear()
    yield probe_site
    case_run._analysis.cache_clear()
    sys.modules.pop("probe_plugin", None)


@pytest.fixture
def environment(probe_site):
    """For protonqa in a process of its own."""
    path = os.pathsep.join([str(probe_site), str(ROOT)])
    return {**os.environ, "PYTHONPATH": path, "PROTONQA_PLUGINS": "probe-qa==1.0", "OMP_NUM_THREADS": "1"}


@pytest.fixture
def cases(tmp_path):
    """cases("word", "other", ...): a folder with a case a word."""

    def make(*words: str, folder: str = "cases") -> Path:
        for number, word in enumerate(words):
            place = tmp_path / folder / f"{number:03d}-{word}"
            place.mkdir(parents=True)
            (place / "text.txt").write_text(f"{word}\n")
        return tmp_path / folder

    return make


def files_below(folder: Path) -> dict[str, bytes]:
    """Content of every file by its name."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
