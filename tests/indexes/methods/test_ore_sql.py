"""The comparison as PostgreSQL runs it, against that of stores which run our code."""

from __future__ import annotations

import secrets

import numpy as np
import pytest

from indexes.keys import Key
from indexes.methods.ore import server
from indexes.methods.ore.client import OreCipher
from indexes.methods.ore.sql import COMPARE, FUNCTION
from indexes.types import ColumnType

pytestmark = pytest.mark.stores("postgres")
psycopg = pytest.importorskip("psycopg")


@pytest.fixture
def database(store_kind, tmp_path):
    """A transaction in which the function exists, and its name."""
    address, _ = store_kind.split(store_kind.new_url(tmp_path))
    schema = f"ore_{secrets.token_hex(6)}"
    name = f'"{schema}".{FUNCTION}'
    with psycopg.connect(address) as connection:
        connection.execute(f'CREATE SCHEMA "{schema}"')
        connection.execute(COMPARE.format(name=name))
        yield connection, name
        connection.rollback()


def keys_of(kind, bits, draw):
    """The ends, what lies beside them, and pairs that differ in each one of the bits."""
    top, number = (1 << bits) - 1, int.from_bytes(draw.bytes(16), "big")
    near = [number ^ 1 << bit for bit in range(bits)]
    found = {one & top for one in [0, 1, top - 1, top, number, *near]}
    if kind == "BOOLEAN":
        found = {0, 1}
    offset = 0 if bits > 32 or kind == "BOOLEAN" else (1 << 63) - (1 << bits - 1)
    halves = [(one >> 64, one & (1 << 64) - 1) for one in sorted(found)]
    return [half if bits == 128 else (half[1] + offset, 0) for half in halves]


@pytest.mark.parametrize("name", ["BOOLEAN", "SMALLINT", "INTEGER", "BIGINT", "UUID"])
def test_it_compares_as_our_code_does(database, name):
    connection, function = database
    one = OreCipher(Key.random(), ColumnType.parse(name), "sha256")
    draw = np.random.default_rng(5)
    keys = keys_of(name, one.shape.bits, draw)
    stored = one.encrypt(np.array(keys, dtype=np.uint64))
    values = [row.tobytes() for row in stored]
    for place in sorted({0, 1, len(keys) - 1, *draw.integers(0, len(keys), 9).tolist()}):
        token = one.token(keys[place])
        rows = connection.execute(
            f"SELECT {function}(%s, value) FROM unnest(%s::bytea[]) WITH ORDINALITY"
            " AS stored (value, place) ORDER BY place",
            (token, values),
        ).fetchall()
        found = [sign for (sign,) in rows]
        assert found == [(keys[place] > key) - (keys[place] < key) for key in keys]
        assert found == server.compare(token, stored).tolist()


def test_what_no_client_makes_fails(database):
    connection, function = database
    one = OreCipher(Key.random(), ColumnType.parse("INTEGER"), "sha256")
    key = (1 << 63, 0)
    stored = one.encrypt(np.array([key], dtype=np.uint64))[0].tobytes()
    token = one.token(key)
    other = OreCipher(Key.random(), ColumnType.parse("INTEGER"), "aes").token(key)
    pairs = [(bad, stored) for bad in (b"", token[:-1], token + b"\0", b"\2" + token[1:], other)]
    pairs += [(token[:4] + b"\x10" + token[5:], stored), (token[:4] + b"\xff" + token[5:], stored)]
    pairs += [(token, bad) for bad in (b"", stored[:-1], stored + b"\0")]
    pairs += [(OreCipher(Key.random(), ColumnType.parse("BIGINT"), "sha256").token(key), stored)]
    # A slot that unmasks to 3: the token finds 0 there.
    slot = token[4]
    flipped = bytearray(stored)
    flipped[16 + slot // 4] ^= 3 << 2 * (slot % 4)
    pairs.append((token, bytes(flipped)))
    for pair in pairs:
        with pytest.raises(psycopg.Error) as caught, connection.transaction():
            connection.execute(f"SELECT {function}(%s::bytea, %s::bytea)", pair)
        assert caught.value.sqlstate in {"22000", "2202E", "XX001"}
    row = connection.execute(f"SELECT {function}(NULL, %s::bytea)", (stored,)).fetchone()
    assert row == (None,)


def test_the_planner_may_run_it_anywhere(database):
    connection, function = database
    row = connection.execute(
        "SELECT provolatile, proisstrict, proparallel, prosecdef FROM pg_proc"
        " WHERE oid = %s::regprocedure",
        (f"{function}(bytea, bytea)",),
    ).fetchone()
    assert row == ("i", True, "s", False)
