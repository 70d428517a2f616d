"""No inserted value, and no name, is found in the bytes of the store's files, in any usual encoding.

Of a remote store the scan reads the SQLite file behind it and everything that the server has logged. Of
PostgreSQL, which has a server to itself, it reads the files of the store's relations, the write-ahead log,
and a log of every statement with its parameters.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import random
import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import encdb
from tests.attacks import vault
from tests.fixtures.kinds import RemoteKind, SqliteKind, StoreKind
from tests.fixtures.postgres import DATABASE, Server, own_server

pytestmark = pytest.mark.every_store

TABLE = "confidential_register"
COLUMNS = {
    "identifier_number": "BIGINT PRIMARY KEY",
    "family_name": "TEXT",
    "postal_district": "TEXT",
    "balance_amount": "DECIMAL(18,2)",
    "measured_value": "DOUBLE",
    "birth_instant": "TIMESTAMP",
    "external_uuid": "UUID",
    "secret_blob": "BLOB",
    "clinical_notes": "TEXT",
}
INDEXES = {
    "hidden_district_index": "equality (postal_district)",
    "hidden_balance_index": "range (balance_amount)",
    "hidden_notes_index": "keyword (clinical_notes)",
    "shown_name_index": "det (family_name) WITH (accept_leakage = true)",
    "shown_value_index": "ope (measured_value) WITH (accept_leakage = true)",
    "shown_birth_index": "ore (birth_instant) WITH (accept_leakage = true)",
}

Row = tuple[Any, ...]


def row(number: int, draw: random.Random) -> Row:
    """A row of values that chance would not put into a file."""
    return (
        draw.getrandbits(62),
        f"Müller-{draw.getrandbits(48):012x}",
        f"DISTRICT-{number % 5}",
        Decimal(draw.randrange(10**15, 10**17)).scaleb(-2),
        draw.random() * 1e9,
        dt.datetime.fromisoformat("1950-01-01") + dt.timedelta(microseconds=draw.randrange(10**15)),
        uuid.UUID(int=draw.getrandbits(128)),
        draw.randbytes(24),
        f"recovered from {draw.choice(('appendicitis', 'pneumonia'))} {draw.getrandbits(40):010x}",
    )


def encodings(value: object) -> Iterator[bytes]:
    """The byte strings by which a value would be found if it were stored in clear."""
    if isinstance(value, bytes):
        yield value
        yield value.hex().encode()
    elif isinstance(value, uuid.UUID):
        yield from (value.bytes, value.bytes_le)
        yield from encodings(str(value))
        yield from encodings(value.hex)
    elif isinstance(value, str):
        yield from (value.encode(), value.encode("utf-16-le"), value.encode("utf-16-be"))
        yield from (value.lower().encode(), value.upper().encode())
    elif isinstance(value, int):
        for width in (8, 16):
            for offset in (0, 1 << (8 * width - 1)):
                yield from (
                    (value + offset).to_bytes(width, order, signed=False)
                    for order in ("big", "little")
                )
        yield from encodings(str(value))
    elif isinstance(value, float):
        yield from (struct.pack("<d", value), struct.pack(">d", value))
        yield from encodings(repr(value))
    elif isinstance(value, Decimal):
        yield from encodings(str(value))
        yield from encodings(int(value.scaleb(2)))
    elif isinstance(value, dt.datetime):
        micros = (value - dt.datetime.fromisoformat("1970-01-01")) // dt.timedelta(microseconds=1)
        for width in (8,):
            yield from (micros.to_bytes(width, order, signed=True) for order in ("big", "little"))
        yield from encodings(value.isoformat(" "))
        yield from encodings(value.isoformat())
    else:
        raise TypeError(f"no encodings of {type(value)}")


class SqliteFiles:
    """The bytes of the store's file and of every file beside it that SQLite made."""

    def __init__(self, kind: SqliteKind | RemoteKind, folder: Path) -> None:
        self._kind = kind
        self.url = kind.new_url(folder)
        self.path = kind.path(self.url)

    def structured(self) -> bytes:
        """The relations, and the write-ahead log."""
        files = sorted(self.path.parent.glob(self.path.name + "*"))
        return b"".join(one.read_bytes() for one in files)

    def log(self) -> bytes:
        """Every line that the server has logged, if there is one."""
        if isinstance(self._kind, SqliteKind):
            return b""
        lines = [json.dumps(line, default=str) for line in self._kind.server.log]
        assert len(lines) > 10
        return "\n".join(lines).encode()


class PostgresFiles:
    """The bytes that a server of the store's own has written, as its administrator finds them."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.url = f"{server.url()}?schema=scanned"

    def structured(self) -> bytes:
        """The relations of the store's schema, with their indexes and what is kept out of line."""
        with self._server.connect(DATABASE) as connection:
            connection.execute("CHECKPOINT")
            found = connection.execute(
                "SELECT pg_relation_filepath(c.oid) FROM pg_class c"
                " WHERE c.relnamespace = 'scanned'::regnamespace OR c.oid IN"
                " (SELECT reltoastrelid FROM pg_class WHERE relnamespace = 'scanned'::regnamespace)"
            ).fetchall()
        return b"".join((self._server.data / path).read_bytes() for (path,) in found if path)

    def log(self) -> bytes:
        """The write-ahead log, and the log of the server."""
        wal = sorted((self._server.data / "pg_wal").glob("0*"))
        return b"".join(path.read_bytes().rstrip(b"\0") for path in (*wal, self._server.log))


def windows(content: bytes, width: int) -> NDArray[Any]:
    """Every ``width`` consecutive bytes as one little-endian number, at every offset."""
    parts = [
        np.frombuffer(content, f"<u{width}", (len(content) - offset) // width, offset)
        for offset in range(width)
    ]
    return np.concatenate(parts)


@dataclass
class Scanned:
    """The rows of a store that has lived through loads, changes and merges, and all its bytes.

    Attributes:
        rows: what was inserted.
        relations: the bytes of the relations at several moments.
        everything: these, and the logs.
    """

    rows: list[Row]
    relations: bytes
    everything: bytes


@pytest.fixture(scope="module")
def filled(store_kind: StoreKind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scanned]:
    """A store and its bytes."""
    folder = tmp_path_factory.mktemp("scan")
    if isinstance(store_kind, SqliteKind | RemoteKind):
        yield fill(SqliteFiles(store_kind, folder), folder)
        return
    with own_server(log_statement="all", log_min_duration_statement="0") as server:
        yield fill(PostgresFiles(server), folder)


def fill(files: SqliteFiles | PostgresFiles, folder: Path) -> Scanned:
    """Make the store.

    The bytes are gathered while the connection is open, so that the write-ahead log is among them,
    and again after it was closed.
    """
    store, keys = files.url, folder / "keys"
    keys.mkdir()
    draw = random.Random(99)
    encdb.init(store, keyring=str(vault.keyring_in(keys)))
    rows = [row(number, draw) for number in range(400)]
    marks = ", ".join("?" for _ in COLUMNS)
    seen = b""
    with vault.client(store, keys) as connection:
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        connection.execute(f"CREATE TABLE {TABLE} ({columns})")
        for name, index in INDEXES.items():
            method, column = index.split(" ", 1)
            connection.execute(f"CREATE INDEX {name} ON {TABLE} USING {method} {column}")
        insert = f"INSERT INTO {TABLE} VALUES ({marks})"
        connection.cursor().executemany(insert, rows[:300])
        seen += files.structured()
        connection.execute(f"VACUUM {TABLE}")
        seen += files.structured()
        connection.cursor().executemany(insert, rows[300:])
        connection.execute(
            f"UPDATE {TABLE} SET clinical_notes = 'relapsed suddenly' WHERE identifier_number = ?",
            (rows[0][0],),
        )
        connection.execute(f"DELETE FROM {TABLE} WHERE identifier_number = ?", (rows[1][0],))
        connection.execute(f"SELECT * FROM {TABLE} WHERE postal_district = 'DISTRICT-3'").fetchall()
        connection.execute(
            f"SELECT postal_district FROM {TABLE} WHERE family_name = ? OR (measured_value < ? AND birth_instant > ?)",
            (rows[9][1], rows[9][4], rows[9][5]),
        ).fetchall()
        seen += files.structured()
        if isinstance(files, SqliteFiles):
            assert Path(f"{files.path}-wal").stat().st_size > 0
    seen += files.structured()
    log = files.log()
    if isinstance(files, PostgresFiles):
        assert len(log) > 100_000
        assert b"INSERT INTO" in log
    return Scanned(rows, seen, seen + log)


def test_no_value_of_eight_bytes_or_more(filled: Scanned) -> None:
    rows, content = filled.rows, filled.everything
    values = {value for one in rows for value in one} | {"relapsed suddenly", "appendicitis"}
    tried = [
        (encoded, value)
        for value in values
        for encoded in encodings(value)
        if len(encoded) >= 8 and encoded.count(0) < 4
    ]
    assert len(tried) > 10_000
    # Only what begins like something in the file is looked for in full.
    beginnings = np.array([int.from_bytes(encoded[:8], "little") for encoded, _ in tried], "<u8")
    for place in np.flatnonzero(np.isin(beginnings, windows(content, 8))):
        encoded, value = tried[place]
        assert encoded not in content, f"{value!r} was found as {encoded!r}"


def test_no_name(filled: Scanned) -> None:
    content = filled.everything
    for name in [TABLE, *COLUMNS, *INDEXES]:
        for encoded in encodings(name):
            assert encoded not in content, name


def test_short_values_are_no_more_frequent_than_chance(filled: Scanned) -> None:
    """Four-byte pieces of the values occur as often as in random bytes, to six standard deviations."""
    rows, content = filled.rows, filled.relations
    pieces = {
        encoded[start : start + 4]
        for one in rows
        for value in one
        for encoded in encodings(value)
        for start in range(0, len(encoded) - 3, 4)
    }
    # Pieces with zero bytes occur in the structure of any SQLite file, and pieces of hexadecimal
    # digits in the names of encdb's relations, which are opaque ids.
    pieces = {one for one in pieces if 0 not in one and not set(one) <= set(b"0123456789abcdef_")}
    wanted = np.array([int.from_bytes(one, "little") for one in pieces], "<u4")
    found = int(np.isin(windows(content, 4), wanted).sum())
    expected = len(pieces) * len(content) / 256**4
    assert len(pieces) > 5_000
    assert found <= expected + 6 * math.sqrt(expected) + 6


def test_the_scan_finds_what_is_there(filled: Scanned) -> None:
    """The same scan finds every value in an ordinary SQLite file; it could not pass by looking away."""
    import sqlite3
    from contextlib import closing

    rows = filled.rows
    assert set(windows(b"abcdefghij", 8)) == {
        int.from_bytes(part, "little") for part in (b"abcdefgh", b"bcdefghi", b"cdefghij")
    }
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a, b, c, d)")
        connection.executemany(
            "INSERT INTO t VALUES (?, ?, ?, ?)", [(r[0], r[1], r[4], r[7]) for r in rows]
        )
        content = connection.serialize()
    for one in rows:
        for value in (one[0], one[1], one[4], one[7]):
            assert any(encoded in content for encoded in encodings(value))
