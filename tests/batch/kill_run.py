"""A batch killed at random moments and resumed, against the same batch undisturbed.

By itself it is the long run: ``python tests/batch/kill_run.py 200 20`` (cases, kills); the tests call `killed_batch`
with a few. A moment is a number of finished cases and some milliseconds more: before the table stands, inside a
commit, inside a move, while the summary is written.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
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
        The two differ in a byte of a result or of the summary, a finished case was computed again, or the batch was
        over before its last kill.
    """
    rng = random.Random(seed)
    environment, source = make_site(work / "site"), make_cases(work / "cases", cases)
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
    for name in ("summary.csv", "summary.html"):
        assert (out / name).read_bytes() == (work / "whole" / name).read_bytes(), f"{name} differs"
    assert _files(out / "cases") == _files(work / "whole" / "cases"), "results differ"
    return {"cases": cases, "kills": kills, "finished_before_the_last_run": reached}


def _command(source: Path, out: Path, *more: str) -> list[str]:
    words = ["batch", str(source), "--analysis", "probe", "--out", str(out), "--workers", "2", *more]
    return [sys.executable, "-m", "protonqa", *words]


def _finished(out: Path) -> int:
    from protonqa.jobs.journal import read_outcomes, started_job

    return len(list(read_outcomes(out))) if started_job(out) is not None else 0


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        found = killed_batch(Path(place), cases=int(sys.argv[1]), kills=int(sys.argv[2]))
        sys.stdout.write(json.dumps(found) + "\n")
