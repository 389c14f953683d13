"""The frame around every command: parsing, one-line errors, exit codes, and a standard output that stays clean."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any, TextIO

from cyclopts import App, CycloptsError

from protonqa import __version__
from protonqa.cli.commands import COMMANDS
from protonqa.errors import Cancelled, NotEvaluableError, OutOfDomainError, ProtonQAError, StoreError

EXIT_DONE, EXIT_USAGE, EXIT_NOT_EVALUABLE, EXIT_INTERNAL, EXIT_CANCELLED = 0, 2, 3, 4, 130

_REAL_STDOUT: ContextVar[TextIO | None] = ContextVar("real_stdout", default=None)


def run_command_line(argv: Sequence[str] | None = None) -> int:
    """Parse `argv`, run the command, print at most one line of error, return the exit code."""
    tokens = list(sys.argv[1:] if argv is None else argv)
    _tolerant_streams()
    try:
        return invoke(build_app(), tokens)
    except CycloptsError as error:
        from protonqa.cli.usage import usage_line

        return _fail("USAGE", usage_line(error), EXIT_USAGE)
    except (KeyboardInterrupt, Cancelled):
        return _fail("CANCELLED", "stopped by the user, nothing was marked as done", EXIT_CANCELLED)
    except ProtonQAError as error:
        return _fail(error.code, error.line(), error_exit_code(error))
    except BrokenPipeError:
        # The reader of a pipe has gone; keep Python from complaining again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
        return EXIT_DONE
    except MemoryError:
        return _fail(
            "MEMORY", "the computer has not enough memory for this, close programs or crop the CT", EXIT_INTERNAL
        )
    except Exception as error:
        return _internal(error)


def build_app() -> App:
    """The application with all commands; none of their modules is imported."""
    app = App(
        name="protonqa",
        help="Proton range verification from PET activity. Quality assurance research, not for treatment decisions.",
        version=__version__,
        help_format="plaintext",
        suppress_keyboard_interrupt=False,
    )
    for place, command in enumerate(COMMANDS):
        options: dict[str, Any] = {"help_flags": []} if command.own_help else {}
        app.command(command.function, name=command.name, help=command.help, sort_key=place, **options)
    return app


def invoke(app: App, tokens: Sequence[str]) -> int:
    """Parse and run; while one of our commands runs, standard output belongs to its answer alone."""
    function, bound, _ = app.parse_args(list(tokens), exit_on_error=False, print_error=False)
    if not getattr(function, "__module__", "").startswith("protonqa.cli"):
        function(*bound.args, **bound.kwargs)
        return EXIT_DONE
    if getattr(function, "parses_further", False):
        code = function(*bound.args, **bound.kwargs)
    else:
        with _clean_stdout():
            code = function(*bound.args, **bound.kwargs)
    return int(code or EXIT_DONE)


def answer(text: str) -> None:
    """Write to the real standard output; everything else that prints goes to standard error."""
    stream = _REAL_STDOUT.get() or sys.stdout
    stream.write(text if text.endswith("\n") else f"{text}\n")
    stream.flush()


def error_exit_code(error: ProtonQAError) -> int:
    """3 where evidence is missing, 4 where the computer failed us, 2 for everything the user can mend."""
    if isinstance(error, (NotEvaluableError, OutOfDomainError)):
        return EXIT_NOT_EVALUABLE
    return EXIT_INTERNAL if isinstance(error, StoreError) else EXIT_USAGE


def print_error(code: str, line: str) -> None:
    """The one line of an error: ``error[CODE]: what, got, expected, remedy``."""
    sys.stderr.write(f"error[{code}]: {' '.join(line.split())}\n")


def _fail(code: str, line: str, exit_code: int) -> int:
    print_error(code, line)
    return exit_code


def _internal(error: Exception) -> int:
    """One line, and the traceback without patient identity in a file."""
    import secrets
    import tempfile
    from pathlib import Path

    from protonqa.analyses.failures import failure_line, failure_text

    path = Path(tempfile.gettempdir()) / f"protonqa-error-{secrets.token_hex(4)}.txt"
    place = f"details in {path}"
    try:
        path.write_text(f"protonqa {__version__}\n{failure_text(error)}", encoding="utf-8")
    except OSError:
        place = "its details could not be written"
    return _fail("INTERNAL", f"{failure_line(error)}, this is a fault of protonqa, {place}", EXIT_INTERNAL)


@contextlib.contextmanager
def _clean_stdout() -> Iterator[None]:
    token = _REAL_STDOUT.set(_REAL_STDOUT.get() or sys.stdout)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _REAL_STDOUT.reset(token)


def _tolerant_streams() -> None:
    """A console that cannot show a character shows a substitute; it never stops the program."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
