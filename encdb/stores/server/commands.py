"""``encdb serve`` and ``encdb token``: what the operator of a server types.

The module loads nothing but click, so that help and completion stay fast; a running server loads the
rest, and nothing of the trusted half.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, urlsplit

import click

from encdb.errors import EncdbError, OperationalError, StoreUnavailable, UsageError, err

F = TypeVar("F", bound=Callable[..., Any])

NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
"""What a store may be called."""
_SERVED: Final = ("sqlite", "postgresql", "postgres")
_MISSING: Final = frozenset({"E_STORE_MISSING", "E_STORE_INCOMPLETE"})


def named_store(text: str) -> tuple[str, str]:
    """Name and URL of ``[NAME=]STORE``; without a name the file's, or that of the schema.

    Raises:
        UsageError: there is no name, or the store is not one to serve.
    """
    name, separator, url = text.partition("=")
    if not separator or not NAME.fullmatch(name):
        name, url = "", text
    scheme, separator, _ = url.partition("://")
    if separator and scheme.lower() not in _SERVED:
        raise err(
            UsageError,
            "E_STORE_KIND",
            f'a server does not serve "{scheme}://" stores',
            "Pass an SQLite file or a PostgreSQL URL",
        )
    if not name and separator and scheme.lower() != "sqlite":
        name = parse_qs(urlsplit(url).query).get("schema", ["encdb"])[-1]
    elif not name:
        name = Path(urlsplit(url).path if separator else url).stem
    if not NAME.fullmatch(name):
        raise err(
            UsageError,
            "E_USAGE",
            "a store needs a name of up to 64 letters, digits and the characters _ . -",
            "Write NAME=STORE",
        )
    return name, url


def named_stores(texts: Sequence[str], *, allow_create: bool) -> dict[str, str]:
    """Name → URL of every store, each opened once to see whether it can be.

    Raises:
        EncdbError: a name is given twice, or a store cannot be opened.
    """
    from encdb.stores import open_store

    stores: dict[str, str] = {}
    for text in texts:
        name, url = named_store(text)
        if name in stores:
            raise err(
                UsageError, "E_USAGE", f"two stores are named {name}", "Write NAME=STORE for one"
            )
        stores[name] = url
        try:
            open_store(url).close()
        except EncdbError as error:
            if error.code not in _MISSING:
                raise
            if not allow_create:
                raise err(
                    StoreUnavailable,
                    error.code or "",
                    error.message,
                    "Start with --allow-create, and run encdb init or copy at a client, where the key belongs",
                ) from None
    return stores


def _limit(option: str, field: str, kind: click.ParamType[Any], text: str) -> Callable[[F], F]:
    """An option for a field of :class:`~.limits.Limits`; without it the default stands there."""
    return click.option(option, field, type=kind, metavar="N", help=text)


_COUNT: Final = click.IntRange(min=1)
_SECONDS: Final = click.FloatRange(min=0, min_open=True)


@click.command()
@click.argument("stores", metavar="[NAME=]STORE...", nargs=-1, required=True)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:8443",
    show_default=True,
    help="IP address and port. Other machines can reach the server only with TLS.",
)
@click.option(
    "--tls-cert", metavar="FILE", type=click.Path(path_type=Path), help="PEM certificate."
)
@click.option(
    "--tls-key", metavar="FILE", type=click.Path(path_type=Path), help="PEM key, no passphrase."
)
@click.option(
    "--tokens",
    metavar="FILE",
    type=click.Path(path_type=Path),
    required=True,
    help="Token file, made by encdb token add.",
)
@click.option(
    "--allow-create",
    is_flag=True,
    help="Let clients that may write make the stores named here that do not exist yet.",
)
@_limit("--max-request-bytes", "request_bytes", _COUNT, "Longest request. Default: 64 MiB.")
@_limit("--max-header-bytes", "header_bytes", _COUNT, "Longest head of a request. Default: 16 KiB.")
@_limit(
    "--rate",
    "rate",
    click.FloatRange(min=0),
    "Requests a second of one token, 0 for any. Default: 2000.",
)
@_limit("--max-requests", "requests", _COUNT, "Requests under way at once. Default: 64.")
@_limit("--max-connections", "connections", _COUNT, "Open connections. Default: 512.")
@_limit("--max-sessions", "sessions", _COUNT, "Open sessions. Default: 256.")
@_limit("--sessions-per-token", "sessions_per_token", _COUNT, "Of them by one token. Default: 32.")
@_limit("--max-snapshots", "snapshots", _COUNT, "Open snapshots. Default: 64.")
@_limit("--threads", "threads", _COUNT, "Requests that stores work on at once. Default: 16.")
@_limit("--snapshot-seconds", "snapshot_seconds", _SECONDS, "Close idle snapshots. Default: 60.")
@_limit("--session-seconds", "session_seconds", _SECONDS, "Close idle sessions. Default: 600.")
@_limit("--body-seconds", "body_seconds", _SECONDS, "Time for a request to arrive. Default: 10.")
@_limit(
    "--min-bytes-per-second", "body_rate", _COUNT, "Speed that earns more time. Default: 65536."
)
@_limit("--stop-seconds", "stop_seconds", _SECONDS, "Time to end requests on exit. Default: 10.")
def serve(
    *,
    stores: tuple[str, ...],
    listen: str,
    tls_cert: Path | None,
    tls_key: Path | None,
    tokens: Path,
    allow_create: bool,
    **limits: Any,
) -> None:
    """Offer stores to clients over HTTPS, as https://HOST:PORT/NAME.

    NAME is the file's name without its ending, or the PostgreSQL schema, unless you give another one.
    The server never has a key: it stores what clients have sealed. It writes its log to stderr, one
    JSON object a line, and ends orderly on SIGTERM and SIGINT.
    """
    try:
        from .limits import Limits
        from .listen import serve_stores
        from .sockets import Address
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("encdb"):
            raise
        raise err(
            OperationalError,
            "E_EXTRA_MISSING",
            f"encdb serve needs the package {missing.name}",
            'Install it with: pip install "encdb[server]"',
        ) from None
    if (tls_cert is None) != (tls_key is None):
        raise err(UsageError, "E_USAGE", "--tls-cert and --tls-key belong together")
    serve_stores(
        lambda: named_stores(stores, allow_create=allow_create),
        Address.parse(listen),
        tokens,
        Limits(**{name: value for name, value in limits.items() if value is not None}),
        tls=None if tls_cert is None or tls_key is None else (tls_cert, tls_key),
        allow_create=allow_create,
    )


@click.group()
def token() -> None:
    """Say who may use a server: add, list and revoke access tokens."""


_file = click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
_name = click.argument("name", metavar="NAME")


@token.command("add")
@_file
@_name
@click.option("--read-only", is_flag=True, help="It may read stores, not write them.")
@click.option("--metrics", is_flag=True, help="It may read /metrics and nothing else.")
@click.option(
    "--store",
    "stores",
    metavar="NAME",
    multiple=True,
    help="It is good for this store only; may be given several times.",
)
@click.option(
    "--expires",
    metavar="DATE",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    help="It is refused from this day or moment on, in UTC: 2030-12-31 or 2030-12-31T18:00:00.",
)
def add(
    *,
    file: Path,
    name: str,
    read_only: bool,
    metrics: bool,
    stores: tuple[str, ...],
    expires: datetime | None,
) -> None:
    """Make a token for NAME, note its hash in FILE, and write the token to stdout, once.

    FILE is made if it is not there. Give one token to each client: put it into ENCDB_TOKEN, or into a
    file that ENCDB_TOKEN_FILE names.
    """
    from .tokens import add_token

    if metrics and (read_only or stores):
        raise err(UsageError, "E_USAGE", "a token for the metrics is good for no store")
    for one in stores:
        if not NAME.fullmatch(one):
            raise err(UsageError, "E_USAGE", f"no store can be named {one!r}")
    moment = None if expires is None else expires.replace(tzinfo=UTC)
    if moment is not None and moment <= datetime.now(UTC):
        raise err(UsageError, "E_USAGE", "the token would be refused from the beginning")
    rights: Any = "metrics" if metrics else "read" if read_only else "write"
    click.echo(add_token(file, name, rights=rights, stores=stores, expires=moment))


@token.command("list")
@_file
@click.option("--json", "as_json", is_flag=True, help="Write one JSON array.")
def list_(*, file: Path, as_json: bool) -> None:
    """List the tokens in FILE: names, rights and states, never the tokens or their hashes."""
    from .tokens import read_tokens

    columns = ("name", "rights", "stores", "state", "created", "expires", "revoked")
    found = [
        {
            "name": one.name,
            "rights": one.rights,
            "stores": None if one.stores is None else list(one.stores),
            "state": one.state,
            "created": one.created,
            "expires": one.expires,
            "revoked": one.revoked,
        }
        for one in read_tokens(file)
    ]
    if as_json:
        click.echo(json.dumps(found))
        return
    rows = [columns, *([_cell(one[name]) for name in columns] for one in found)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(columns))]
    for row in rows:
        padded = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def _cell(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else "" if value is None else str(value)


@token.command("revoke")
@_file
@_name
def revoke(*, file: Path, name: str) -> None:
    """Refuse the token NAME of FILE from now on, in running servers too."""
    from .tokens import revoke_token

    revoke_token(file, name)
    click.echo(f"{name} is revoked", err=True)
