"""What ``.schema`` prints makes the same tables and indexes again."""

from __future__ import annotations

import dataclasses

from proxy.cli.meta import schema_of
from tests.fixtures.databases import Database

STATEMENTS = (
    "CREATE TABLE t (id BIGINT PRIMARY KEY, a TEXT NOT NULL, b INT, c TEXT, UNIQUE (b, c))",
    "CREATE UNIQUE INDEX one ON t USING equality (a) INCLUDE (b)",
    "CREATE INDEX ON t USING range (b, a) INCLUDE (c, id)",
    "CREATE INDEX ON t USING range (c) WITH (case_insensitive = true)",
    "CREATE INDEX ON t USING keyword (c) WITH (language = 'german')",
    "CREATE INDEX ON t USING substring (c)",
    "CREATE INDEX ON t USING det (b) WITH (join_group = 'B', accept_leakage = true)",
    "CREATE INDEX ON t USING ore (b) WITH (mask = 'sha256', accept_leakage = true)",
    "CREATE INDEX ON t USING ope (b) WITH (scheme = 'boldyreva', accept_leakage = yes)",
)


def declared(connection):
    """The table without what depends on when it was made."""
    table = connection.session.table("t")
    indexes = tuple(
        dataclasses.replace(one, created=int(one.created > 0), complete=0) for one in table.indexes
    )
    return dataclasses.replace(table, id=0, created=0, indexes=indexes)


def test_a_schema_comes_back(database: Database, tmp_path):
    first = database.connect()
    for statement in STATEMENTS:
        first.execute(statement)
    folder = tmp_path / "again"
    folder.mkdir()
    other = Database.make(folder)
    again = other.connect()
    for statement in schema_of(first.session.table("t")):
        again.execute(statement)
    assert declared(again) == declared(first)
    other.drop()
