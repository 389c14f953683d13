"""A Dask cluster of two workers: the bytes of the local pool."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from protonqa.app.batch import BatchParams, batch


@pytest.fixture
def address(tmp_path, environment):
    """Scheduler and two workers of one thread each, on the loopback address."""
    pytest.importorskip("distributed", reason="dask.distributed comes with the extra 'cluster' and the test extra")
    spec = importlib.util.spec_from_file_location("kill_run", Path(__file__).with_name("kill_run.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.cluster(tmp_path, environment) as found:
        yield found


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_cluster_gives_the_bytes_of_the_local_pool(probe, cases, tmp_path, address):
    source = cases(*(f"word{i}" for i in range(10)), "raises", "fails")
    here, there = tmp_path / "here", tmp_path / "there"
    batch(BatchParams(source=source, out=here, analysis="probe", workers=2))
    done = batch(BatchParams(source=source, out=there, analysis="probe", scheduler=address))
    assert done.report.computed == 12
    assert files_below(there / "cases") == files_below(here / "cases")
    for name in ("summary.csv", "summary.html"):
        assert (there / name).read_bytes() == (here / name).read_bytes()
