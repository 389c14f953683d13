"""Cell functions for the tests; workers import this module by its name."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from protonqa.errors import NotEvaluableError, StoreError


def square(parameters, context):
    """A result of numbers and text."""
    return {"square": parameters["x"] ** 2, "cell": context.cell_id, "third": parameters["x"] / 3.0}


def mixed(parameters, context):
    """JSON, bytes, files and failures, by turns; all drawn from the seed of the cell alone."""
    x, rng = parameters["x"], random.Random(parameters["seed"])
    time.sleep(parameters.get("sleep_s", 0.0))
    kind = x % 5
    if kind == 0:
        return {"value": rng.random(), "list": [rng.gauss(0.0, 1.0) for _ in range(3)]}
    if kind == 1:
        return rng.randbytes(200 + x)
    if kind == 2:
        first, second = context.folder / "a.bin", context.folder / "deep" / "b.txt"
        first.write_bytes(rng.randbytes(3000))
        time.sleep(parameters.get("sleep_s", 0.0))
        second.parent.mkdir()
        second.write_text(f"{rng.random()}\n", encoding="utf-8")
        return [first, second]
    if kind == 3 and x % 2:
        (context.folder / "half.txt").write_text("half", encoding="utf-8")
        raise NotEvaluableError("too few counts", got=str(x), expected="more")
    if kind == 4 and x % 2:
        return {"not json": {1, 2}}
    return None


def raises(parameters, context):
    raise ValueError("the name Canary stands in this message")


def leaves(parameters, context):
    sys.exit(7)


def dies(parameters, context):
    """The odd ones are killed as the system kills a process that took too much memory."""
    if parameters["x"] % 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return parameters["x"]


def exits_hard(parameters, context):
    os._exit(5)


def hangs(parameters, context):
    """Cell 0 never returns, and started a program that does not either; its number stands in a file."""
    if parameters["x"] == 0:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(parameters["note"]).write_text(str(child.pid), encoding="utf-8")
        time.sleep(600)
    return parameters["x"]


def greedy(parameters, context):
    """Takes far more than it may, unless told not to."""
    block = bytearray(parameters["mib"] * 1024 * 1024)
    return len(block)


def noisy(parameters, context):
    """Speaks on standard output at every level, as a careless library does."""
    print("hello from a cell")  # noqa: T201
    os.write(1, b"\x00\x00\x00\x05and from below\n")
    subprocess.run([sys.executable, "-c", "print('and from a program')"], check=True, stdin=None)
    return sys.stdin.read()


def asks(parameters, context):
    """A long cell that looks for a cancel now and then."""
    Path(parameters["note"]).write_text("begun", encoding="utf-8")
    for _ in range(6000):
        context.check_cancelled()
        time.sleep(0.01)


def sleeps(parameters, context):
    """A long cell that never looks."""
    Path(parameters["note"]).write_text("begun", encoding="utf-8")
    time.sleep(600)


def full_disk(parameters, context):
    raise OSError(28, "No space left on device", "/somewhere/Canary")


def store_fails(parameters, context):
    """Fails as long as the marker is there."""
    if Path(parameters["marker"]).exists():
        raise StoreError("the share is away")
    return "written"


def environment(parameters, context):
    return {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "PYTHONHASHSEED")}


def link(parameters, context):
    (context.folder / "link").symlink_to("/etc/hosts")


def foreign_path(parameters, context):
    return Path(__file__)


def not_finite(parameters, context):
    return {"rows": [{"mae_mm": float("nan")}]}


def same_name(parameters, context):
    """A file with the same name and another content whenever it is computed."""
    (context.folder / "result.txt").write_text(parameters["text"] + os.urandom(8).hex(), encoding="utf-8")
    return hashlib.sha256(parameters["text"].encode()).hexdigest()


def pid(parameters, context):
    """Which process computed it."""
    time.sleep(0.05)
    return os.getpid()
