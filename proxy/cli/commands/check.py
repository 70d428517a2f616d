"""``encdb check``: open and cross-check everything a store holds."""

from __future__ import annotations

import click

from proxy.cli.opening import open_session
from proxy.cli.options import Access, access_options, format_options, store_argument
from proxy.cli.output import Format, Output
from proxy.cli.progress import Progress

INTEGRITY = 4


@click.command()
@store_argument
@access_options
@format_options
@click.pass_context
def check(ctx: click.Context, *, store: str, access: Access, form: Format) -> None:
    """Open every record, index page and version of a store and compare them with each other.

    Exit status 4 means that something was changed, moved, removed or put back from an older state.
    """
    with open_session(store, access) as session, Progress("checking", "records") as progress:
        found = session.check(progress)
    with Output(form) as output:
        if output.for_people:
            for line in found.lines:
                output.text(line)
        else:
            output.result(("line",), ((line,) for line in found.lines))
    if not found.ok:
        ctx.exit(INTEGRITY)
