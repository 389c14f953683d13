"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# No test is timed: a computer that does other work meanwhile must not fail one.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """Folder with the reference tables, the real CT and the real DICOM files.

    It is named by the variable PROTONQA_REFERENCE_DATA; without it the test skips. Where the variable is set the
    folder must be there: a silent skip in CI would hide the checks that matter most.
    """
    value = os.environ.get("PROTONQA_REFERENCE_DATA", "")
    if not value:
        pytest.skip("PROTONQA_REFERENCE_DATA is not set: reference tables and real images are not on this computer")
    folder = Path(value)
    if not folder.is_dir():
        pytest.fail("PROTONQA_REFERENCE_DATA names a folder that does not exist")
    return folder


@pytest.fixture(scope="session", autouse=True)
def own_data_folder(tmp_path_factory: pytest.TempPathFactory) -> Generator[Path, None, None]:
    """No test, and no process a test starts, ever writes into the results of who runs it."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROTONQA_DATA_DIR", str(folder))
        patch.delenv("PROTONQA_STORE", raising=False)
        patch.delenv("PROTONQA_PSEUDONYM_KEY", raising=False)
        yield folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With PROTONQA_REQUIRE_REFERENCE_DATA=1 a test that needs reference data and skips, for any reason, has failed."""
    report = yield
    wanted = os.environ.get("PROTONQA_REQUIRE_REFERENCE_DATA") == "1"
    skipped = report.skipped and not hasattr(report, "wasxfail")
    if wanted and skipped and "reference_data" in getattr(item, "fixturenames", ()):
        report.outcome = "failed"
        report.longrepr = f"reference data are required here, but the test skipped: {report.longrepr}"
    return report
