"""What the golden store holds, as statements, and the queries whose answers are kept."""

from __future__ import annotations

COLUMNS = (
    "id BIGINT PRIMARY KEY, flag BOOLEAN, small SMALLINT, number INT, amount DECIMAL(38,9), "
    "price DECIMAL(10,2), single REAL, double DOUBLE PRECISION, name TEXT, data BYTEA, day DATE, "
    "clock TIME, moment TIMESTAMP, instant TIMESTAMPTZ, token UUID, doc JSON, span INTERVAL, "
    "UNIQUE (name, day), CHECK (small > -1000)"
)
SCHEMA = (
    f"CREATE TABLE everything ({COLUMNS})",
    """CREATE TABLE notes (id INT PRIMARY KEY, body TEXT NOT NULL DEFAULT 'none',
        who INT REFERENCES everything (id))""",
    "CREATE INDEX ON everything USING equality (number)",
    "CREATE INDEX ON everything USING range (amount)",
    "CREATE INDEX ON everything USING range (instant)",
    "CREATE INDEX ON everything USING range (name)",
    "CREATE INDEX ON everything USING equality (token)",
    "CREATE INDEX ON notes USING keyword (body) WITH (language = 'english', positions = 'on')",
)
INSERT = f"INSERT INTO everything VALUES ({', '.join('?' * 17)})"
TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "Asthma patients who stopped smoking.",
    "Große Straße, naïve café, 東京",
    "",
)
QUERIES = (
    "SELECT * FROM everything ORDER BY id",
    "SELECT count(*), sum(amount), min(instant), max(name) FROM everything",
    "SELECT id FROM everything WHERE number = 7 ORDER BY id",
    "SELECT id FROM everything WHERE amount BETWEEN -1 AND 1000000 ORDER BY id",
    "SELECT id FROM everything WHERE name >= 'n' ORDER BY id",
    "SELECT id, body FROM notes ORDER BY id",
    "SELECT id FROM notes WHERE body @@ 'patient -fox' ORDER BY id",
    "SELECT id FROM notes WHERE body @@ '\"stopped smoking\"' ORDER BY id",
    "SELECT id FROM notes WHERE body @@ 'asth* OR stra?s* OR quikc~1' ORDER BY id",
    "SELECT n.id, e.name FROM notes n JOIN everything e ON e.id = n.who ORDER BY n.id",
)
