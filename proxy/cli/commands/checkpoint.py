"""``encdb checkpoint``: what this client has verified, as a line for other clients to insist on."""

from __future__ import annotations

import click

from proxy.cli.opening import open_session
from proxy.cli.options import Access, access_options, format_options, store_argument
from proxy.cli.output import Format, Output


@click.command()
@store_argument
@access_options
@format_options
def checkpoint(*, store: str, access: Access, form: Format) -> None:
    """Verify the current state of all tables and print it as a checkpoint, one line.

    Give it to another client of the same database, by any channel: it is sealed and says nothing without
    the key. That client passes it as --expect, and a store that shows it another history, or hides
    changes that this client has seen, is refused with exit status 4. Keep one with every backup.
    """
    with (
        open_session(store, access) as session,
        session.reading(everything=True),
    ):
        text = session.database.checkpoint()
    with Output(form) as output:
        if output.for_people:
            output.text(text)
        else:
            output.result(("store", "checkpoint"), [(store, text)])
