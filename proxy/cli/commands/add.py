"""``encdb add``: documents into a searchable collection."""

from __future__ import annotations

import click

from proxy.cli.failure import one_line, say
from proxy.cli.opening import open_session
from proxy.cli.options import Access, access_options, format_options, store_argument
from proxy.cli.output import Format, Output
from proxy.cli.progress import Progress


@click.command()
@store_argument
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(exists=True))
@click.option(
    "--collection",
    default="documents",
    show_default=True,
    help="Collection the documents go to; it is made when it does not exist.",
)
@access_options
@format_options
def add(
    *, store: str, paths: tuple[str, ...], collection: str, access: Access, form: Format
) -> None:
    """Add files, folders and mailboxes to a searchable collection.

    Mail (RFC 822) is recognised by its headers, whatever the file is called; mbox files, Markdown and
    plain text are read too. Anything else is skipped, counted and named on stderr with the reason.
    """
    with open_session(store, access) as session, Progress("adding", "documents") as progress:
        added = session.add_documents(paths, collection, progress)
    for skipped in added.skipped:
        say(f"skipped {one_line(str(skipped))}")
    with Output(form) as output:
        if output.for_people:
            output.text(
                f"{added.added:,} documents added to {collection}, {len(added.skipped):,} skipped"
            )
        else:
            output.result(
                ("collection", "added", "skipped"), [(collection, added.added, len(added.skipped))]
            )
