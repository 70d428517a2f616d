"""URLs of PostgreSQL stores: libpq's connection URI with three parameters of our own.

``postgresql://user@host/database?schema=vault&snapshot_seconds=60&statement_timeout=300`` names the
schema ``vault``. Everything else is libpq's, with its environment, password and service files; a
password in the URL works, and is never shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

from psycopg import ProgrammingError, pq
from psycopg.conninfo import conninfo_to_dict

from encdb.errors import UsageError, err

DEFAULT_SCHEMA: Final = "encdb"
SNAPSHOT_SECONDS: Final = 60
"""A state that is read for longer keeps the server from removing dead rows: 50 MB for 4 MB live."""
STATEMENT_SECONDS: Final = 300
_MAX_SECONDS: Final = 86_400
_NAME_BYTES: Final = 63
_OWN: Final = ("schema", "snapshot_seconds", "statement_timeout")
_ENCODE: Final = "in a user or password, write @ as %40, / as %2F, ? as %3F, % as %25, space as %20"
# A dead peer is noticed within about a minute and a half, even while an answer is awaited.
_DEFAULTS: Final = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "90000",
    "application_name": "encdb",
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a store is, and the limits that its URL sets.

    Attributes:
        conninfo: parameters for libpq; they may hold a password.
        schema: name of the schema that holds the relations.
        snapshot_seconds: how long one state may be read.
        statement_seconds: how long the server may work on one statement.
        url: the same without credentials, to be shown.
    """

    conninfo: dict[str, str]
    schema: str
    snapshot_seconds: int
    statement_seconds: int
    url: str

    def __repr__(self) -> str:
        """Without the password that ``conninfo`` may hold."""
        return f"Address({self.url!r})"


def parse(url: str) -> Address:
    """Read a URL.

    Raises:
        UsageError: it is malformed, or has a parameter that neither libpq nor encdb knows.
    """
    # Taken apart as libpq does, to which + and # mean nothing, so that what it is given is unchanged.
    target, _, query = url.partition("://")[2].partition("?")
    own: dict[str, str] = {}
    others: list[str] = []
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        if name in _OWN:
            own[name] = unquote(value)
        else:
            others.append(pair)
    plain = f"postgresql://{target}{'?' if others else ''}{'&'.join(others)}"
    try:
        known = {name: str(value) for name, value in conninfo_to_dict(plain).items() if value}
    except (ProgrammingError, ValueError):
        # What libpq says of it quotes the part with the password.
        raise _malformed(_unknown(others) or f"it is no connection URI; {_ENCODE}") from None
    if set(known.get("port", "")) - set("0123456789,"):
        raise _malformed(f"the port is no number; {_ENCODE}")
    schema = own.get("schema", DEFAULT_SCHEMA)
    if not schema or "\0" in schema or len(schema.encode()) > _NAME_BYTES:
        raise _malformed("the schema's name is empty or longer than 63 bytes")
    return Address(
        conninfo={**_DEFAULTS, **known},
        schema=schema,
        snapshot_seconds=_seconds(own, "snapshot_seconds", SNAPSHOT_SECONDS),
        statement_seconds=_seconds(own, "statement_timeout", STATEMENT_SECONDS),
        url=_shown(known, schema),
    )


def _unknown(pairs: list[str]) -> str:
    """Which parameter libpq does not know, unless it may be a part of a password."""
    if any("@" in pair for pair in pairs):
        return ""
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    names = [pair.partition("=")[0] for pair in pairs]
    unknown = [name for name in names if name not in known and name.isidentifier()]
    return f'there is no parameter "{unknown[0]}"' if unknown else ""


def _seconds(own: dict[str, str], name: str, default: int) -> int:
    text = own.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _MAX_SECONDS:
        raise _malformed(f"{name} is not a number of seconds from 1 to {_MAX_SECONDS}")
    return int(text)


def _shown(known: dict[str, str], schema: str) -> str:
    """A URL that leads to the same store and holds no secret."""
    user = f"{quote(known['user'], safe='')}@" if "user" in known else ""
    hosts, ports = known.get("host", "").split(","), known.get("port", "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    places = ",".join(_place(host, port) for host, port in zip(hosts, ports, strict=False))
    database = quote(known.get("dbname", ""), safe="")
    return f"postgresql://{user}{places}/{database}?schema={quote(schema, safe='')}"


def _place(host: str, port: str) -> str:
    name = f"[{quote(host, safe=':')}]" if ":" in host else quote(host, safe="")
    return f"{name}:{port}" if port else name


def _malformed(why: str) -> UsageError:
    return err(
        UsageError,
        "E_STORE_KIND",
        f"the PostgreSQL URL is malformed: {why}",
        "Use postgresql://user@host:port/database?schema=NAME",
    )
