"""A batch killed at random moments and resumed, against the same batch undisturbed.

By itself it is the long run: ``python tests/batch/kill_run.py 200 20`` (cases, kills), and then the same cases by one
and four workers and by a Dask cluster of two; the tests call `killed_batch` with a few. A moment is a number of
finished cases and some milliseconds more: before the table stands, inside a commit, inside a move, while the summary
is written.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def make_site(site: Path) -> dict[str, str]:
    """Install the probe plugin into `site`; the environment that finds and enables it."""
    site.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("probe_plugin.py"), site)
    info = site / "probe_qa-1.0.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: probe-qa\nVersion: 1.0\nSummary: A probe\n")
    info.joinpath("entry_points.txt").write_text("[protonqa.analyses]\nprobe = probe_plugin:Probe\n")
    path = os.pathsep.join([str(site), str(ROOT)])
    return {**os.environ, "PYTHONPATH": path, "PROTONQA_PLUGINS": "probe-qa==1.0", "OMP_NUM_THREADS": "1"}


def make_cases(folder: Path, count: int) -> Path:
    """Folders of cases: most pass, every seventh fails and every eleventh raises."""
    for number in range(count):
        word = "raises" if number % 11 == 10 else "fails" if number % 7 == 6 else f"w{number}"
        place = folder / f"case-{number:03d}"
        place.mkdir(parents=True)
        (place / "text.txt").write_text(f"{word}\n")
    return folder


def killed_batch(work: Path, *, cases: int, kills: int, seed: int = 5) -> dict[str, int]:
    """Kill a batch `kills` times, let it finish, and compare it with one that nobody disturbed.

    Raises
    ------
    AssertionError
        The two differ in a byte of a result or of the summary, a finished case was computed again, the store holds
        a case twice or not at all, or the batch was over before its last kill.
    """
    rng = random.Random(seed)
    environment, source = make_site(work / "site"), make_cases(work / "cases", cases)
    environment["PROTONQA_STORE"] = str(work / "results.sqlite")
    out, most = work / "out", max(cases // (kills + 2), 1)
    reached = 0
    for _ in range(kills):
        run = subprocess.Popen(_command(source, out, "--progress"), env=environment, stderr=subprocess.PIPE)
        with run:
            for _ in range(rng.randrange(0, most)):
                run.stderr.readline()
            time.sleep(rng.uniform(0.0, 0.05))
            os.kill(run.pid, signal.SIGKILL)
        assert run.returncode == -signal.SIGKILL, "the batch was over before its last kill"
        reached = _finished(out)
    last = subprocess.run(_command(source, out, "--json"), env=environment, capture_output=True, check=False)
    whole = subprocess.run(
        _command(source, work / "whole", "--json"), env=environment, capture_output=True, check=False
    )
    assert last.returncode == whole.returncode == 4, last.stderr.decode()[-2000:]
    assert reached + json.loads(last.stdout)["computed"] == cases, "a finished case was computed again"
    _same(out, work / "whole")
    assert _stored(work / "results.sqlite") == cases, "a case is stored twice or not at all"
    return {"cases": cases, "kills": kills, "finished_before_the_last_run": reached}


def other_ways(work: Path) -> dict[str, float]:
    """The cases of `killed_batch` by one and four workers and by a cluster of two: seconds of each; same bytes, or
    AssertionError.
    """
    environment = make_site(work / "site-again") | {"PROTONQA_STORE": str(work / "results.sqlite")}
    seconds = {}
    with cluster(work, environment) as address:
        for name, way in {"1": ("--workers", "1"), "4": ("--workers", "4"), "dask": ("--scheduler", address)}.items():
            out = work / f"out-{name}"
            done = subprocess.run(
                _command(work / "cases", out, "--json", on=way), env=environment, capture_output=True, check=False
            )
            assert done.returncode == 4, done.stderr.decode()[-2000:]
            seconds[name] = json.loads(done.stdout)["seconds"]
            _same(out, work / "whole")
    return seconds


@contextlib.contextmanager
def cluster(work: Path, environment: dict[str, str]) -> Iterator[str]:
    """A scheduler and two workers of one thread each on the loopback address; gives the address.

    Raises
    ------
    TimeoutError
    """
    note = work / "scheduler.json"
    place = ["--host", "127.0.0.1", "--scheduler-file", str(note), "--no-dashboard"]
    worker = [*place, "--nthreads", "1", "--no-nanny", "--local-directory", str(work / "dask")]
    with contextlib.ExitStack() as stack, (work / "cluster.log").open("wb") as log:

        def start(*command: str) -> None:
            process = subprocess.Popen([sys.executable, "-m", *command], env=environment, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.kill)

        start("distributed.cli.dask_scheduler", *place, "--port", "0")
        for _ in range(2):
            start("distributed.cli.dask_worker", *worker)
        yield _address(note)


def _address(note: Path) -> str:
    for _ in range(1200):
        with contextlib.suppress(OSError, ValueError):
            return str(json.loads(note.read_text())["address"])
        time.sleep(0.05)
    raise TimeoutError("the scheduler did not start")


def _same(one: Path, other: Path) -> None:
    for name in ("summary.csv", "summary.html"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), f"{name} differs"
    assert _files(one / "cases") == _files(other / "cases"), "results differ"


def _stored(path: Path) -> int:
    from protonqa.store import history, open_store

    with open_store(path) as store:
        return len(history(store))


def _command(source: Path, out: Path, *more: str, on: tuple[str, ...] = ("--workers", "2")) -> list[str]:
    words = ["batch", str(source), "--analysis", "probe", "--out", str(out), *on, *more]
    return [sys.executable, "-m", "protonqa", *words]


def _finished(out: Path) -> int:
    from protonqa.jobs.journal import read_outcomes, started_job

    return len(list(read_outcomes(out))) if started_job(out) is not None else 0


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        found = killed_batch(Path(place), cases=int(sys.argv[1]), kills=int(sys.argv[2]))
        sys.stdout.write(json.dumps({**found, "seconds": other_ways(Path(place))}) + "\n")
