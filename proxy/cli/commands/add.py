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
    plain text are read too. Anything else is skipped, counted and named on stderr with the reason. A
    document that is there already is left alone; one whose bytes changed is replaced.
    """
    from proxy.documents import add_documents

    with open_session(store, access) as session, Progress("adding", "documents") as progress:
        report = add_documents(session, paths, collection, lambda done, _path: progress("", done))
    for skipped in report.skipped:
        say(one_line(f"skipped {skipped.path}: {skipped.reason}"))
    counts = {
        "added": report.added,
        "replaced": report.replaced,
        "present": report.present,
        "skipped": len(report.skipped),
    }
    with Output(form) as output:
        if output.for_people:
            output.text(_sentence(collection, counts))
        else:
            output.result(("collection", *counts), [(collection, *counts.values())])


def _sentence(collection: str, counts: dict[str, int]) -> str:
    added = counts["added"]
    text = f"{added:,} document{'' if added == 1 else 's'} added to {collection}"
    if counts["replaced"]:
        text += f", {counts['replaced']:,} replaced"
    if counts["present"]:
        text += f", {counts['present']:,} already there"
    return f"{text}, {counts['skipped']:,} skipped"
