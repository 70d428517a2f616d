"""``encdb copy``: a whole store to another place or kind of store, still sealed."""

from __future__ import annotations

import click

from proxy.cli.failure import say
from proxy.cli.options import format_options
from proxy.cli.output import Format, Output
from proxy.cli.progress import Progress


@click.command()
@click.argument("source", metavar="SOURCE", type=click.Path())
@click.argument("target", metavar="TARGET", type=click.Path())
@format_options
def copy(*, source: str, target: str, form: Format) -> None:
    """Copy the store SOURCE to TARGET, where nothing is yet, between stores of any kind.

    No key is needed: everything stays sealed, and the keyring of SOURCE opens TARGET too. Other clients
    may go on using SOURCE meanwhile. Everything is read back and compared; until then nothing opens TARGET.
    A copy that was interrupted goes on when the same command is run again.

    Afterwards write to one of the two only: they are one database, and two histories of one database are
    what clients take for an attack.
    """
    from encdb.stores.copying import copy_store

    try:
        with Progress("", "blobs") as progress:
            report = copy_store(source, target, progress)
    except KeyboardInterrupt:
        say("The copy is unfinished. Run the same command again to go on, or remove the target.")
        raise
    with Output(form) as output:
        if output.for_people:
            output.text(
                f"{_many(report.tables, 'table')} copied to {report.target}: "
                f"{_many(report.blobs, 'blob')}, {_many(report.bytes, 'byte')}, all read back and compared"
            )
            if report.copied < report.blobs:
                output.text(f"{report.blobs - report.copied:,} of them were there already")
            if report.mended:
                output.text(f"{report.mended:,} of them were damaged and written anew")
            output.text("Write to one of the two stores only from now on.")
        else:
            columns = ("source", "target", "tables", "blobs", "bytes", "copied", "mended")
            output.result(columns, [tuple(getattr(report, name) for name in columns)])


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
