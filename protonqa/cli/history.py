"""``protonqa history`` and its subcommands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from protonqa.app.history import HistoryQuery
from protonqa.cli.common import DEFAULT, FLAT, Common
from protonqa.cli.task import task

_ALL = HistoryQuery()
app = App(name="history", help_format="plaintext", version_flags=[])


@app.default
def history(*, query: Annotated[HistoryQuery, FLAT] = _ALL, limit: int = 50, common: Common = DEFAULT) -> int:
    """Past results, newest first.

    Parameters
    ----------
    limit
        Show at most so many.
    """
    from protonqa.app.history import list_history
    from protonqa.cli.history_text import list_text

    with task(common) as job:
        found = list_history(query, limit=limit)
    return job.finish(found.to_plain(), text=list_text(found))


@app.command
def show(result: str, /, *, out: Path | None = None, report: bool = True, common: Common = DEFAULT) -> int:
    """One stored result in full.

    Parameters
    ----------
    result
        Number, or first letters of the identifier.
    out
        Write result.json and its report, without the patient's identity, into this folder again.
    report
        Write the report too.
    """
    from protonqa.app.history import show as find
    from protonqa.app.history import stored_to_plain, write_again
    from protonqa.cli.history_text import stored_text

    with task(common) as job:
        found = find(result)
        if out is not None:
            write_again(result, out, report=report)
    plain = {**stored_to_plain(found), "out": None if out is None else str(out)}
    text = stored_text(found) + ("" if out is None else f"\n  files in {out}")
    return job.finish(plain, text=text)


@app.command
def compare(first: str, second: str, /, *, common: Common = DEFAULT) -> int:
    """Two stored results, measurement by measurement; exits 1 where they differ.

    Parameters
    ----------
    first, second
        Number, or first letters of the identifier.
    """
    from protonqa.app.history import compare_results, comparison_to_plain
    from protonqa.cli.history_text import comparison_text

    with task(common) as job:
        found = compare_results(first, second)
    return job.finish(comparison_to_plain(found), text=comparison_text(found), code=0 if found.same else 1)


@app.command
def amend(
    result: str,
    /,
    *,
    comment: str | None = None,
    exclude: str | None = None,
    include: str | None = None,
    label: str | None = None,
    reason: str = "",
    by: str = "",
    common: Common = DEFAULT,
) -> int:
    """Add to a stored result, which itself never changes.

    Parameters
    ----------
    result
        Number, or first letters of the identifier.
    comment
        A comment.
    exclude
        Leave it out of trends, for this reason.
    include
        Take it into trends again, for this reason.
    label
        A corrected label, as machine=, site=, field= or patient=; with a reason.
    reason
        Why the label was wrong.
    by
        Who amends; the user of this computer if left out.
    """
    from protonqa.app.history import amend_result, stored_to_plain
    from protonqa.cli.history_text import stored_text
    from protonqa.errors import InputError

    given = {"comment": comment, "exclude": exclude, "include": include, "label": label}
    kinds = [kind for kind, text in given.items() if text is not None]
    if len(kinds) != 1:
        raise InputError(
            "an amendment is one thing at a time",
            got=", ".join(f"--{kind}" for kind in kinds) or "nothing",
            expected="one of --comment, --exclude, --include, --label",
        )
    kind, words = kinds[0], given[kinds[0]] or ""
    target, _, value = words.partition("=") if kind == "label" else ("", "", "")
    with task(common) as job:
        found = amend_result(
            result, kind, text=reason if kind == "label" else words, target=target.strip().lower(), value=value, by=by
        )
    return job.finish(stored_to_plain(found), text=stored_text(found))


@app.command
def add(
    *folders: Path,
    label: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    common: Common = DEFAULT,
) -> int:
    """Store results from folders that were written earlier; the same folder twice is stored once.

    Parameters
    ----------
    folders
        Folders with result.json and manifest.json.
    label
        As machine=, site=, field=, patient= (a pseudonym) or performed= (a date).
    """
    from protonqa.app.history import add_folders
    from protonqa.errors import InputError

    if not folders:
        raise InputError("there is no folder to store", expected="one or more folders with a result")
    with task(common) as job:
        stored = add_folders(folders, label)
    plain = {"stored": [{"number": one.number, "uid": one.uid, "new": one.new} for one in stored]}
    lines = [f"{one.number}  {one.uid[:12]}  {'stored' if one.new else 'was stored already'}" for one in stored]
    return job.finish(plain, text="\n".join(lines))


@app.command
def commissioning(*, analysis: str = "", limit: int = 50, common: Common = DEFAULT) -> int:
    """Past acceptance tests, newest first.

    Parameters
    ----------
    analysis
        Of this analysis only.
    limit
        Show at most so many.
    """
    from protonqa.app.history import commissioning_to_plain, list_commissionings
    from protonqa.cli.history_text import commissioning_text

    with task(common) as job:
        rows = list_commissionings(analysis, limit=limit)
    plain = {"commissionings": [commissioning_to_plain(row) for row in rows]}
    return job.finish(plain, text=commissioning_text(rows))


@app.command
def export(
    out: Path,
    /,
    *,
    table: Literal[
        "measurements", "results", "findings", "files", "facts", "amendments", "commissioning"
    ] = "measurements",
    query: Annotated[HistoryQuery, FLAT] = _ALL,
    common: Common = DEFAULT,
) -> int:
    """Write stored results as a table.

    Parameters
    ----------
    out
        File that ends in .csv or .parquet.
    table
        What a row is.
    """
    from protonqa.app.history import export_history

    with task(common) as job:
        rows = export_history(out, table=table, query=query)
    return job.finish({"export": str(out), "table": table, "rows": rows}, text=f"{rows} rows of {table} in {out}")


@app.command
def backup(*, out: Path | None = None, common: Common = DEFAULT) -> int:
    """Copy the whole store into one checked file, while others may write.

    Parameters
    ----------
    out
        Folder of the copy; the usual place if left out.
    """
    from protonqa.app.backup import back_up

    with task(common) as job:
        made = back_up(out)
    return job.finish(made.to_plain(), text=f"{made.results} results in {made.path}")


@app.command
def restore(backup: str, /, *, common: Common = DEFAULT) -> int:
    """Bring a backup back; the file it replaces is kept.

    Parameters
    ----------
    backup
        newest, the name of a backup in the usual place, or a path.
    """
    from protonqa.app.backup import restore as bring_back

    with task(common) as job:
        outcome = bring_back(backup)
    kept = f"; the old file is kept as {outcome.kept}" if outcome.kept else ""
    return job.finish(outcome.to_plain(), text=f"{outcome.results} results from {outcome.backup}{kept}")


@app.command
def backups(*, common: Common = DEFAULT) -> int:
    """List the backups in the usual place, newest first."""
    from protonqa.app.backup import list_backups

    with task(common) as job:
        found = list_backups()
    plain = {"backups": [{"name": path.name, "size_bytes": path.stat().st_size} for path in found]}
    lines = [f"{path.name}  {path.stat().st_size / 1e6:.1f} MB" for path in found]
    return job.finish(plain, text="\n".join(lines) or "there is no backup yet")


@app.command
def check(*, common: Common = DEFAULT) -> int:
    """Look at every page, every stored content and every table; exits 1 where something is wrong."""
    from protonqa.app.backup import check as look

    with task(common) as job:
        found = look()
    facts = {
        "results": found.results,
        "amendments": found.amendments,
        "commissionings": found.commissionings,
        "format": found.schema,
        "problems": list(found.problems),
    }
    lines = [f"{found.results} results, {found.amendments} amendments, {found.commissionings} acceptance tests"]
    lines += [f"  {problem}" for problem in found.problems] or ["  nothing is wrong"]
    return job.finish(facts, text="\n".join(lines), code=1 if found.problems else 0)


@app.command
def upgrade(*, common: Common = DEFAULT) -> int:
    """Make the tables of a shared database, or bring them to the format of this version; make a backup first."""
    from protonqa.app.backup import upgrade as bring_up

    with task(common) as job:
        form = bring_up()
    return job.finish({"format": form}, text=f"the results database has format {form}")
