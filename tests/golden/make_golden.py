"""Write the golden store, its keyring and the answers that it gives."""

from __future__ import annotations

import datetime as dt
import json
import sys
import tempfile
import uuid
from decimal import Decimal
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

from content import INSERT, QUERIES, SCHEMA, TEXTS  # noqa: E402

import encdb  # noqa: E402 - the checkout comes first on the path.
from proxy.values import json_value  # noqa: E402

STORE, KEYRING = HERE / "format-2.db", HERE / "format-2.keyring"


def row(number: int) -> tuple[object, ...]:
    """One row of every type; every fifth one is NULL wherever it may be."""
    if number % 5 == 0:
        return (number, *[None] * 16)
    sign = -1 if number % 2 else 1
    return (
        number,
        number % 3 == 0,
        sign * (number % 900),
        number % 11,
        Decimal(sign * number).scaleb(-3) * 10 ** (number % 20),
        Decimal(number) / 4,
        number / 8,
        float("inf") if number == 7 else sign * number / 3,
        f"name {number:04d} ü",
        bytes([number % 256]) * (number % 9),
        dt.date(1900, 1, 1) + dt.timedelta(days=number * 100),
        dt.time(number % 24, number % 60, 1, number),
        dt.datetime(2000, 2, 29) + dt.timedelta(hours=number),
        dt.datetime(1999, 12, 31, 23, tzinfo=dt.UTC) + dt.timedelta(minutes=number),
        uuid.uuid5(uuid.NAMESPACE_URL, str(number)),
        json.dumps({"n": number}),
        dt.timedelta(days=number, seconds=5),
    )


def build(store: Path, keyring: Path) -> dict[str, object]:
    """Make the store; returns the answers to all queries as JSON values."""
    encdb.init(str(store), keyring=keyring)
    with encdb.connect(str(store), keyring=keyring, pin=False) as connection:
        for statement in SCHEMA:
            connection.execute(statement)
        connection.executemany(INSERT, [row(number) for number in range(1, 41)])
        connection.execute("VACUUM")
        connection.execute("DELETE FROM everything WHERE id IN (3, 38)")
        connection.execute("UPDATE everything SET number = 7 WHERE id = 4")
        connection.executemany(INSERT, [row(number) for number in range(41, 44)])
        for number, text in enumerate(TEXTS):
            connection.execute("INSERT INTO notes VALUES (?, ?, ?)", (number, text, number + 1))
        return {sql: answer(connection, sql) for sql in QUERIES}


def answer(connection: encdb.Connection, sql: str) -> list[list[object]]:
    """The rows of a query as JSON values."""
    return [[json_value(value) for value in found] for found in connection.execute(sql).fetchall()]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        made, key = Path(folder) / "golden.db", Path(folder) / "golden.keyring"
        answers = build(made, key)
        STORE.write_bytes(made.read_bytes())
        KEYRING.write_bytes(key.read_bytes())
    KEYRING.chmod(0o600)
    text = json.dumps(answers, indent=1, ensure_ascii=False)
    (HERE / "expected.json").write_text(text + "\n", encoding="utf-8")
