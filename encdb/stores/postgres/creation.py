"""Making a new store in a schema of its own, and recognising one."""

from __future__ import annotations

from typing import NoReturn

import psycopg
from psycopg import sql

from encdb import wire
from encdb.errors import FormatError, StoreUnavailable, UsageError, err

from . import schema
from .failures import damaged, translate
from .link import Link, observers
from .writing import roll_back

OLDEST_SERVER = 130_000
INCOMPLETE = 0
"""Format of a store that is being copied into."""


def create(link: Link, genesis: wire.Genesis, number: int | None = None) -> None:
    """Make the schema, unless it is there and empty, and every relation, in one transaction.

    Args:
        link: a connection that may write.
        genesis: the first state.
        number: format to note instead of the genesis', for a store that is not complete.

    Raises:
        StoreUnavailable: there is something in the schema, or the role may not make it.
    """
    connection = link.open()
    require_server(link)
    name = link.address.schema
    try:
        connection.execute("BEGIN")
        connection.execute("SET LOCAL lock_timeout = '10s'")
        found = connection.execute(
            "SELECT (SELECT count(*) FROM pg_catalog.pg_class WHERE relnamespace = n.oid)"
            " FROM pg_catalog.pg_namespace AS n WHERE nspname = %s",
            (name,),
        ).fetchone()
        if found is not None and found[0]:
            _exists(link)
        if found is None:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
        for statement in schema.create(name):
            for observer in observers:
                observer(statement.as_string())
            connection.execute(statement)
        link.run(
            (
                (
                    "INSERT INTO {heads} (id, database, incarnation, format, catalog_version)"
                    " VALUES (1, %s, %s, %s, 0)"
                ),
                (
                    genesis.database,
                    genesis.incarnation,
                    genesis.format if number is None else number,
                ),
            ),
            (
                "INSERT INTO {catalog} (version, link, blob) VALUES (0, %s, %s)",
                (genesis.link, genesis.catalog),
            ),
        )
        connection.execute("COMMIT")
    except (
        psycopg.errors.DuplicateSchema,
        psycopg.errors.DuplicateTable,
        psycopg.errors.UniqueViolation,
    ):
        roll_back(link)
        _exists(link)
    except psycopg.errors.InsufficientPrivilege:
        roll_back(link)
        raise err(
            StoreUnavailable,
            "E_ACCESS_DENIED",
            f"the user of {link.address.url} may not make the schema or its relations",
            "Ask an administrator for CREATE on the database, or for an empty schema of your own",
        ) from None
    except psycopg.Error as error:
        roll_back(link)
        raise translate(error, link.address) from error
    except BaseException:
        roll_back(link)
        raise


def _exists(link: Link) -> NoReturn:
    raise err(
        StoreUnavailable,
        "E_STORE_EXISTS",
        f"there is something at {link.address.url} already",
        "Name another schema in the URL: ?schema=NAME",
    )


def require_server(link: Link) -> None:
    """UsageError for a server that is too old for what the store asks of it."""
    if link.server_version < OLDEST_SERVER:
        raise err(
            UsageError,
            "E_STORE_KIND",
            f"the server of {link.address.url} is older than PostgreSQL 13",
            "Use PostgreSQL 13 or newer",
        )


def recognise(link: Link) -> tuple[bytes, bytes, int]:
    """Identity, incarnation and format of the store at the link's address.

    Raises:
        StoreUnavailable: there is none.
    """
    url = link.address.url
    try:
        found = link.one("SELECT database, incarnation, format FROM {heads}").rows
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        raise err(
            StoreUnavailable,
            "E_STORE_MISSING",
            f"there is no store at {url}",
            "Check the schema in the URL, or make the store with encdb init",
        ) from None
    except psycopg.errors.UndefinedColumn:
        raise err(
            StoreUnavailable, "E_NOT_A_STORE", f"the schema of {url} holds something else"
        ) from None
    except psycopg.errors.InsufficientPrivilege:
        raise err(
            StoreUnavailable, "E_ACCESS_DENIED", f"the user of {url} may not read the store"
        ) from None
    except psycopg.Error as error:
        raise translate(error, link.address) from error
    if len(found) != 1:
        raise damaged(url, "its head is missing")
    database, incarnation, number = found[0]
    if type(number) is not int:
        raise damaged(url, "its format is no number")
    return database, incarnation, number


def require_complete(link: Link) -> None:
    """Refuse a store that this version does not read.

    Raises:
        StoreUnavailable: there is none, or it is the target of an unfinished copy.
        FormatError: it has another format.
    """
    _, _, number = recognise(link)
    url = link.address.url
    if number == INCOMPLETE:
        raise err(StoreUnavailable, "E_STORE_INCOMPLETE", f"{url} is a copy that was not finished")
    if number != wire.FORMAT_VERSION:
        raise err(
            FormatError,
            "E_FORMAT_NEWER" if number > wire.FORMAT_VERSION else "E_FORMAT_OLDER",
            f"the store {url} has format {number}; this encdb reads {wire.FORMAT_VERSION}",
        )
