"""``encdb check``: open and cross-check everything a store holds."""

from __future__ import annotations

import click

from encdb.errors import TamperError, err
from proxy.cli.opening import open_session
from proxy.cli.options import Access, access_options, format_options, store_argument
from proxy.cli.output import Format, Output
from proxy.cli.progress import Progress


@click.command()
@store_argument
@access_options
@format_options
def check(*, store: str, access: Access, form: Format) -> None:
    """Open every record, index page and version of a store and compare them with each other.

    Exit status 4 means that something was changed, moved, removed or put back from an older state.
    """
    from proxy import check as checking

    with open_session(store, access) as session, Progress("checking", "records") as progress:
        found = checking.check(session, progress)
    with Output(form) as output:
        if output.for_people:
            for line in found.lines:
                output.text(line)
            for problem in found.problems:
                output.text(f"problem: {problem}")
            if found.ok:
                output.text("Everything verifies.")
        else:
            lines = [("ok", line) for line in found.lines]
            lines += [("problem", problem) for problem in found.problems]
            output.result(("result", "line"), lines)
    if not found.ok:
        number = len(found.problems)
        many = f" and {number - 1} more problem{'s' if number > 2 else ''}" if number > 1 else ""
        raise err(TamperError, "E_TAMPERED", f"{found.problems[0]}{many}")
