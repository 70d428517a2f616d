"""``encdb search``: documents of a collection, best first."""

from __future__ import annotations

import click

from proxy.cli.failure import FAILURE, report
from proxy.cli.opening import open_session
from proxy.cli.options import Access, access_options, format_options, store_argument
from proxy.cli.output import Format, Output

NONE_FOUND = 1
ORDINARY_ERROR = 2


class GrepLike(click.Command):
    """A command whose status 1 means "nothing found", so that an ordinary error becomes 2."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command and translate the status of its errors."""
        try:
            return super().invoke(ctx)
        except click.exceptions.Exit:
            raise
        except Exception as error:  # noqa: BLE001 - every error has a status, and this changes it.
            status = report(error)
            ctx.exit(ORDINARY_ERROR if status == FAILURE else status)


@click.command(cls=GrepLike)
@store_argument
@click.argument("query", metavar="QUERY")
@click.option(
    "--collection", default="documents", show_default=True, help="Collection to search in."
)
@click.option(
    "-n",
    "limit",
    metavar="N",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Show the N best documents.",
)
@access_options
@format_options
@click.pass_context
def search(
    ctx: click.Context,
    *,
    store: str,
    query: str,
    collection: str,
    limit: int,
    access: Access,
    form: Format,
) -> None:
    """Find documents by keywords, best first (BM25).

    QUERY knows AND, OR, NOT, -word and parentheses; words side by side must all occur. kern* finds words
    that begin so, k?rn*l what looks so, and kernal~1 or kernal~2 words that differ by so many letters. A
    query that begins with a dash follows a double dash: encdb search vault.db -- '-draft report'.

    Exit status: 0 found, 1 nothing found, 2 an ordinary error, 3 wrong or missing key, 4 integrity.
    """
    from proxy import documents

    with open_session(store, access) as session:
        found = documents.search(session, query, collection, limit)
    with Output(form) as output:
        output.result(
            ("path", "title", "score"),
            ((hit.path, hit.title, _shown(hit.score, form)) for hit in found),
        )
    if not found:
        ctx.exit(NONE_FOUND)


def _shown(score: float, form: Format) -> float | str:
    """A person compares scores at a glance; a program gets every digit."""
    return round(score, 3) if form is Format.TABLE else score
