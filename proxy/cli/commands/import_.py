"""``encdb import``: a file of rows becomes a table, or a whole SQLite file becomes its tables."""

from __future__ import annotations

import click

from encdb.errors import UsageError, err
from proxy.cli.importing import ImportRequest, prepare, run_import
from proxy.cli.opening import open_session
from proxy.cli.options import Access, access_options, data_format_options, store_argument
from proxy.cli.output import Format, Output

FORMATS = ("csv", "tsv", "json", "ndjson", "sqlite")


@click.command("import")
@store_argument
@click.argument("file", metavar="FILE", type=click.Path(allow_dash=True))
@click.option("--table", "table", metavar="T", help="Table to make, or to add to when it exists.")
@click.option(
    "--pk",
    metavar="COL[,COL]",
    help="Primary key of the new table; its values must differ and none may be missing.",
)
@click.option(
    "--index",
    "indexes",
    metavar="METHOD:COL[,COL]",
    multiple=True,
    help="Make an index: equality:zip, range:age or keyword:title,body. May be repeated.",
)
@click.option(
    "--type",
    "types",
    metavar="COL=TYPE",
    multiple=True,
    help="Give a column this SQL type instead of the detected one. May be repeated.",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(FORMATS),
    help="Format of FILE; by default it follows from the name and the content.",
)
@click.option(
    "--batch",
    metavar="N",
    type=click.IntRange(min=1),
    help="Commit every N rows and report the last line committed. By default a file is one "
    "transaction.",
)
@access_options
@data_format_options
def import_(
    *,
    store: str,
    file: str,
    table: str | None,
    pk: str | None,
    indexes: tuple[str, ...],
    types: tuple[str, ...],
    file_format: str | None,
    batch: int | None,
    access: Access,
    form: Format,
) -> None:
    """Load rows from FILE into a table: CSV, TSV, JSON, NDJSON, each also gzipped; - is stdin.

    Column types are detected: a column is BIGINT only if every value reads back as the same text, so
    that zip codes and phone numbers keep their zeros; an empty field is NULL. An SQLite file is loaded
    whole, with all its tables and keys, unless --table names one of them.
    """
    request = ImportRequest(
        file=file,
        table=table,
        primary_key=tuple(columns_of(pk)) if pk else (),
        indexes=indexes,
        types=dict(type_of(text) for text in types),
        file_format=file_format,
        batch=batch,
    )
    prepared = prepare(request)
    with open_session(store, access) as session, Output(form) as output:
        run_import(session, prepared, output)


def type_of(text: str) -> tuple[str, str]:
    """``COL=TYPE`` as a column and its SQL type."""
    column, equals, kind = text.partition("=")
    if not equals or not column.strip() or not kind.strip():
        raise err(
            UsageError,
            "E_USAGE",
            f'--type "{text}" is not COL=TYPE',
            "Write for instance --type zip=TEXT",
        )
    return column.strip(), kind.strip()


def columns_of(text: str) -> list[str]:
    """Column names separated by commas."""
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise err(UsageError, "E_USAGE", f'"{text}" names an empty column')
    return names
