"""Transactions on one connection: own writes, savepoints, and statements that leave nothing behind."""

from __future__ import annotations

from typing import Any

import pytest

import encdb
from tests.fixtures.databases import Database, check_ok, refused, rows

pytestmark = pytest.mark.every_store

SCHEMA = (
    """CREATE TABLE people (id BIGINT PRIMARY KEY, name TEXT NOT NULL, age INT CHECK (age >= 0),
    email TEXT UNIQUE, notes TEXT)""",
    "CREATE INDEX ON people USING equality (name)",
    "CREATE INDEX ON people USING range (age)",
    "CREATE INDEX ON people USING keyword (notes)",
    "CREATE TABLE pets (owner BIGINT, name TEXT)",
)
PEOPLE = [
    (1, "Ann", 30, "ann@x", "asthma"),
    (2, "Bob", 40, "bob@x", "smoker, asthma"),
    (3, "Cid", None, None, None),
]
INSERT = "INSERT INTO people VALUES (?, ?, ?, ?, ?)"
ALL = "SELECT * FROM people ORDER BY id"


@pytest.fixture(params=["pending", "settled"])
def people(request: Any, database: Database) -> Any:
    """A table of three rows, in deltas or in packs."""
    connection = database.connect()
    for sql in SCHEMA:
        connection.execute(sql)
    connection.executemany(INSERT, PEOPLE)
    if request.param == "settled":
        connection.execute("VACUUM")
    return connection


def ids(connection: Any, condition: str, *parameters: object) -> list[int]:
    found = rows(connection, f"SELECT id FROM people WHERE {condition} ORDER BY id", parameters)
    return [number for (number,) in found]


# --- Own writes -------------------------------------------------------------------------------------


def test_a_transaction_sees_its_own_writes_by_every_index(people, database):
    people.execute("BEGIN")
    people.execute(INSERT, (4, "Dan", 25, "dan@x", "hay fever"))
    people.execute("UPDATE people SET name = 'Bea', age = 41, notes = 'runner' WHERE id = 2")
    people.execute("DELETE FROM people WHERE name = 'Ann'")
    assert ids(people, "TRUE") == [2, 3, 4]
    assert ids(people, "id = 1") == []
    assert ids(people, "id = 4") == [4]
    assert ids(people, "name = 'Bob'") == []
    assert ids(people, "name IN ('Bea', 'Dan')") == [2, 4]
    assert ids(people, "email = 'bob@x'") == [2]
    assert ids(people, "age BETWEEN 20 AND 40") == [4]
    assert ids(people, "age > ?", 40) == [2]
    assert ids(people, "notes @@ 'asthma OR runner'") == [2]
    assert ids(people, "notes @@ '-runner'") == [4]
    assert rows(people, "SELECT count(*), min(age), max(age) FROM people") == [(3, 25, 41)]
    assert rows(people, "SELECT age FROM people ORDER BY age DESC NULLS LAST LIMIT 1") == [(41,)]
    assert database.ask(ALL) == PEOPLE
    people.execute("COMMIT")
    expected = [(2, "Bea", 41, "bob@x", "runner"), PEOPLE[2], (4, "Dan", 25, "dan@x", "hay fever")]
    assert rows(people, ALL) == database.ask(ALL) == expected
    check_ok(people)


def test_a_rollback_forgets_everything(people, database):
    people.execute("BEGIN")
    people.execute(INSERT, (4, "Dan", 25, "dan@x", None))
    people.execute("UPDATE people SET age = 99")
    people.execute("DELETE FROM people WHERE id = 2")
    people.execute("ROLLBACK")
    assert rows(people, ALL) == database.ask(ALL) == PEOPLE
    assert ids(people, "age = 99") == []
    people.execute(INSERT, (4, "Dan", 25, "dan@x", None))
    check_ok(people)


def test_a_row_may_change_many_times_in_one_transaction(people):
    people.execute("BEGIN")
    for age in range(50, 60):
        people.execute("UPDATE people SET age = ? WHERE id = 1", (age,))
        assert ids(people, "age >= 50") == [1]
        assert rows(people, "SELECT count(*) FROM people") == [(3,)]
    people.execute("DELETE FROM people WHERE id = 1")
    people.execute(INSERT, PEOPLE[0])
    people.execute("DELETE FROM people WHERE id = 1")
    people.execute(INSERT, (1, "Ada", 60, "ann@x", "x"))
    people.execute("COMMIT")
    assert rows(people, "SELECT name, age FROM people WHERE id = 1") == [("Ada", 60)]
    assert ids(people, "email = 'ann@x'") == [1]
    check_ok(people)


def test_a_transaction_that_cancels_itself_out_writes_nothing(people, database):
    epochs = database.ask(ALL)
    recorded = database.connect(record=True)
    recorded.execute("BEGIN")
    recorded.execute(INSERT, (4, "Dan", 25, "dan@x", None))
    recorded.execute("DELETE FROM people WHERE id = 4")
    recorded.execute("COMMIT")
    assert [event for event in recorded.session.trace.events if event.kind == "Commit"] == []
    assert database.ask(ALL) == epochs
    check_ok(recorded)


def test_unique_values_can_change_hands_within_a_statement_and_a_transaction(people):
    people.execute("UPDATE people SET id = id + 1")
    assert ids(people, "TRUE") == [2, 3, 4]
    people.execute(
        "UPDATE people SET email = CASE id WHEN 2 THEN 'bob@x' ELSE 'ann@x' END WHERE id < 4"
    )
    assert ids(people, "email = 'ann@x'") == [3]
    people.execute("BEGIN")
    people.execute("DELETE FROM people WHERE id = 2")
    people.execute("UPDATE people SET id = 2 WHERE id = 3")
    people.execute(INSERT, (3, "Eve", 1, "bob@x", None))
    people.execute("COMMIT")
    assert ids(people, "email = 'bob@x'") == [3]
    people.execute("UPDATE people SET id = id")
    check_ok(people)


def test_several_tables_change_together(people, database):
    people.execute("BEGIN")
    people.execute("INSERT INTO pets VALUES (1, 'Rex'), (2, 'Tom')")
    people.execute("UPDATE people SET age = 31 WHERE id = 1")
    assert database.ask("SELECT count(*) FROM pets") == [(0,)]
    people.execute("COMMIT")
    query = "SELECT p.age, a.name FROM people p JOIN pets a ON a.owner = p.id WHERE p.id = 1"
    assert database.ask(query) == [(31, "Rex")]
    check_ok(people)


# --- Statements that fail ---------------------------------------------------------------------------

FAILING = [
    (
        "E_DUPLICATE_KEY",
        "INSERT INTO people VALUES (7, 'a', 1, NULL, NULL), (1, 'b', 2, NULL, NULL)",
    ),
    ("E_DUPLICATE_KEY", "INSERT INTO people VALUES (7, 'a', 1, 'n', NULL), (8, 'b', 2, 'n', NULL)"),
    ("E_DUPLICATE_KEY", "INSERT INTO people (id, name, email) VALUES (7, 'a', 'bob@x')"),
    ("E_DUPLICATE_KEY", "INSERT INTO people SELECT id + 2, name, age, NULL, NULL FROM people"),
    ("E_DUPLICATE_KEY", "UPDATE people SET id = 9"),
    ("E_DUPLICATE_KEY", "UPDATE people SET email = 'ann@x' WHERE id = 3"),
    ("E_NOT_NULL", "INSERT INTO people (id) VALUES (7)"),
    ("E_NOT_NULL", "INSERT INTO people (name) VALUES ('x')"),
    ("E_NOT_NULL", "UPDATE people SET name = NULL WHERE id = 2"),
    ("E_NOT_NULL", "UPDATE people SET id = NULL WHERE id = 2"),
    ("E_CHECK", "INSERT INTO people (id, name, age) VALUES (7, 'x', 1), (8, 'y', -1)"),
    ("E_CHECK", "UPDATE people SET age = age - 35"),
    (
        "E_OUT_OF_RANGE",
        "INSERT INTO people (id, name, age) VALUES (7, 'x', 1), (8, 'y', 2147483648)",
    ),
    ("E_OUT_OF_RANGE", "UPDATE people SET age = age + 2147483647"),
    ("E_INVALID_VALUE", "INSERT INTO people (id, name, age) VALUES (7, 'x', 'old')"),
    ("E_DIVISION_BY_ZERO", "UPDATE people SET age = age % (id - 2) WHERE age > 0"),
    ("E_SYNTAX", "INSERT INTO people (id, name) VALUES (7, 'x', 3)"),
    ("E_UNKNOWN_COLUMN", "UPDATE people SET nam = 'x'"),
    ("E_UNKNOWN_TABLE", "DELETE FROM peple"),
    ("E_DIVISION_BY_ZERO", "INSERT INTO people (id, name) VALUES (7, 'x') RETURNING 1 / (id - 7)"),
    ("E_DIVISION_BY_ZERO", "UPDATE people SET age = 5 RETURNING age / (id - 2)"),
    ("E_DIVISION_BY_ZERO", "DELETE FROM people RETURNING 1 / (id - 2)"),
]


@pytest.mark.parametrize(("code", "sql"), FAILING)
def test_a_failing_statement_leaves_nothing_behind(people, database, code, sql):
    refused(code, people.execute, sql)
    assert rows(people, ALL) == database.ask(ALL) == PEOPLE
    check_ok(people)


@pytest.mark.parametrize(("code", "sql"), FAILING)
def test_a_failing_statement_leaves_its_transaction_as_it_was(people, database, code, sql):
    people.execute("BEGIN")
    people.execute("INSERT INTO people (id, name) VALUES (6, 'before')")
    refused(code, people.execute, sql)
    assert people.in_transaction
    assert ids(people, "TRUE") == [1, 2, 3, 6]
    people.execute("UPDATE people SET name = 'after' WHERE id = 6")
    people.execute("COMMIT")
    expected = [*PEOPLE, (6, "after", None, None, None)]
    assert rows(people, ALL) == database.ask(ALL) == expected
    check_ok(people)


def test_executemany_is_all_or_nothing(people, database):
    many = [(7, "a", 1, None, None), (8, "b", 2, None, None), (1, "c", 3, None, None)]
    refused("E_DUPLICATE_KEY", people.executemany, INSERT, many)
    update = "UPDATE people SET age = 100 / ? WHERE id = ?"
    refused("E_DIVISION_BY_ZERO", people.executemany, update, [(5, 1), (4, 2), (0, 1)])
    assert rows(people, ALL) == database.ask(ALL) == PEOPLE
    assert not people.in_transaction


def test_executemany_is_all_or_nothing_within_a_transaction(people):
    people.execute("BEGIN")
    people.execute("UPDATE people SET age = 1 WHERE id = 1")
    update = "UPDATE people SET age = 100 / ? WHERE id = ?"
    refused("E_DIVISION_BY_ZERO", people.executemany, update, [(5, 1), (4, 2), (0, 1)])
    assert rows(people, "SELECT age FROM people ORDER BY id") == [(1,), (40,), (None,)]
    people.execute("SAVEPOINT s")
    assert people.executemany(update, [(5, 1), (4, 2)]).rowcount == 2
    people.execute("ROLLBACK TO s")
    people.execute("COMMIT")
    assert rows(people, "SELECT age FROM people ORDER BY id") == [(1,), (40,), (None,)]
    check_ok(people)


def test_executemany_runs_the_statement_once_for_each_row(people):
    people.execute("CREATE TABLE numbered (n BIGINT, what TEXT)")
    people.executemany(
        "INSERT INTO numbered VALUES ((SELECT count(*) FROM numbered), ?)", [("a",), ("b",), ("c",)]
    )
    found = rows(people, "SELECT n, what FROM numbered ORDER BY what")
    assert found == [(0, "a"), (1, "b"), (2, "c")]


# --- Savepoints -------------------------------------------------------------------------------------


def test_savepoints_nest(people):
    people.execute("BEGIN")
    people.execute("INSERT INTO people (id, name) VALUES (10, 'a')")
    people.execute("SAVEPOINT one")
    people.execute("INSERT INTO people (id, name) VALUES (11, 'b')")
    people.execute("DELETE FROM people WHERE id = 1")
    people.execute("SAVEPOINT two")
    people.execute("INSERT INTO people (id, name) VALUES (12, 'c')")
    people.execute("UPDATE people SET name = 'z' WHERE id = 2")
    assert ids(people, "TRUE") == [2, 3, 10, 11, 12]
    people.execute("ROLLBACK TO SAVEPOINT two")
    assert ids(people, "TRUE") == [2, 3, 10, 11]
    assert ids(people, "name = 'Bob'") == [2]
    people.execute("ROLLBACK TO one")
    assert ids(people, "TRUE") == [1, 2, 3, 10]
    refused("E_UNKNOWN_SAVEPOINT", people.execute, "ROLLBACK TO two")
    people.execute("INSERT INTO people (id, name) VALUES (11, 'd')")
    people.execute("ROLLBACK TO one")
    people.execute("INSERT INTO people (id, name) VALUES (12, 'e')")
    people.execute("RELEASE one")
    refused("E_UNKNOWN_SAVEPOINT", people.execute, "ROLLBACK TO one")
    people.execute("COMMIT")
    assert ids(people, "TRUE") == [1, 2, 3, 10, 12]
    check_ok(people)


def test_a_savepoint_hides_an_earlier_one_of_its_name(people):
    people.execute("BEGIN")
    people.execute("SAVEPOINT s")
    people.execute("INSERT INTO people (id, name) VALUES (10, 'a')")
    people.execute("SAVEPOINT S")
    people.execute("INSERT INTO people (id, name) VALUES (11, 'b')")
    people.execute('ROLLBACK TO "s"')
    assert ids(people, "id > 9") == [10]
    people.execute("RELEASE SAVEPOINT s")
    people.execute("ROLLBACK TO s")
    assert ids(people, "id > 9") == []
    people.execute("ROLLBACK")


def test_a_savepoint_brings_removed_own_rows_back(people):
    people.execute("BEGIN")
    people.execute("INSERT INTO people (id, name, email) VALUES (10, 'a', 'a@x')")
    people.execute("SAVEPOINT s")
    people.execute("UPDATE people SET email = 'b@x' WHERE id = 10")
    people.execute("DELETE FROM people WHERE id < 3")
    people.execute("ROLLBACK TO s")
    assert ids(people, "email = 'a@x'") == [10]
    assert ids(people, "email = 'b@x'") == []
    people.execute("COMMIT")
    assert ids(people, "TRUE") == [1, 2, 3, 10]
    check_ok(people)


def test_a_savepoint_covers_tables_first_touched_after_it(people):
    people.execute("BEGIN")
    people.execute("SAVEPOINT s")
    people.execute("INSERT INTO pets VALUES (1, 'Rex')")
    people.execute("DELETE FROM people")
    people.execute("ROLLBACK TO s")
    assert rows(people, "SELECT count(*) FROM pets") == [(0,)]
    people.execute("COMMIT")
    assert rows(people, ALL) == PEOPLE


def test_savepoints_want_a_transaction(people):
    for sql in ("SAVEPOINT s", "ROLLBACK TO s", "RELEASE s"):
        refused("E_NO_TRANSACTION", people.execute, sql)
    people.execute("BEGIN")
    refused("E_UNKNOWN_SAVEPOINT", people.execute, "ROLLBACK TO s")
    people.execute("SAVEPOINT s")
    people.execute("COMMIT")
    people.execute("BEGIN")
    refused("E_UNKNOWN_SAVEPOINT", people.execute, "RELEASE s")
    people.execute("ROLLBACK")


# --- Where transactions begin and end ---------------------------------------------------------------


def test_begin_commit_and_rollback_in_odd_places(people):
    people.execute("COMMIT")
    people.execute("ROLLBACK")
    people.execute("BEGIN")
    refused("E_IN_TRANSACTION", people.execute, "BEGIN")
    people.execute("END")
    assert not people.in_transaction


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE other (a INT)",
        "DROP TABLE people",
        "CREATE INDEX ON people USING range (id)",
        "DROP INDEX people_age_idx",
        "VACUUM",
    ],
)
def test_schema_changes_and_vacuum_refuse_a_transaction(people, sql):
    people.execute("BEGIN")
    people.execute("INSERT INTO pets VALUES (1, 'Rex')")
    refused("E_NOT_SUPPORTED", people.execute, sql)
    people.execute("COMMIT")
    assert rows(people, "SELECT * FROM pets") == [(1, "Rex")]


def test_without_autocommit_a_transaction_begins_by_itself(people, database):
    manual = database.connect(autocommit=False)
    manual.execute("DELETE FROM people WHERE id = 1")
    assert manual.in_transaction
    assert database.ask("SELECT count(*) FROM people") == [(3,)]
    manual.rollback()
    manual.execute("DELETE FROM people WHERE id = 2")
    manual.commit()
    assert not manual.in_transaction
    assert database.ask("SELECT count(*) FROM people") == [(2,)]
    manual.execute("DELETE FROM people")
    manual.close()
    assert database.ask("SELECT count(*) FROM people") == [(2,)]


def test_without_autocommit_a_schema_change_commits_alone(people, database):
    manual = database.connect(autocommit=False)
    manual.execute("CREATE TABLE other (a INT)")
    assert not manual.in_transaction
    manual.execute("INSERT INTO other VALUES (1)")
    refused("E_NOT_SUPPORTED", manual.execute, "CREATE INDEX ON other USING range (a)")
    manual.commit()
    manual.execute("CREATE INDEX ON other USING range (a)")
    manual.execute("VACUUM")
    manual.execute("BEGIN")
    manual.execute("DELETE FROM other")
    manual.execute("ROLLBACK")
    assert not manual.in_transaction
    assert database.ask("SELECT a FROM other") == [(1,)]


def test_a_connection_as_context_manager_commits_or_rolls_back(people, database):
    with database.connect(autocommit=False) as manual:
        manual.execute("DELETE FROM people WHERE id = 1")
    assert database.ask("SELECT count(*) FROM people") == [(2,)]
    manual = database.connect(autocommit=False)
    manual.execute("DELETE FROM people")
    manual.__exit__(KeyError, KeyError(), None)
    assert database.ask("SELECT count(*) FROM people") == [(2,)]
    with pytest.raises(encdb.InterfaceError):
        manual.execute("SELECT 1")


def test_now_stands_still_within_a_transaction(people):
    people.execute("BEGIN")
    first = rows(people, "SELECT now()")
    assert rows(people, "SELECT now()") == first
    assert rows(people, "SELECT now() = current_timestamp") == [(True,)]
    people.execute("COMMIT")
    assert rows(people, "SELECT now()") > first


# --- Large changes ----------------------------------------------------------------------------------


def test_a_large_transaction_is_seen_by_itself_and_can_be_cut_back(people, database):
    people.execute("BEGIN")
    people.execute("INSERT INTO people (id, name) VALUES (10, 'kept')")
    people.execute("SAVEPOINT s")
    large = [(number, f"n{number}", number % 90, None, None) for number in range(1000, 4000)]
    people.executemany(INSERT, large)
    assert rows(people, "SELECT count(*) FROM people") == [(3004,)]
    assert ids(people, "name = 'n2500'") == [2500]
    people.execute("DELETE FROM people WHERE id BETWEEN 2000 AND 2999")
    assert rows(people, "SELECT count(*), max(age) FROM people") == [(2004, 89)]
    people.execute("ROLLBACK TO s")
    assert ids(people, "TRUE") == [1, 2, 3, 10]
    people.executemany(INSERT, large)
    people.execute("UPDATE people SET email = name || '@x' WHERE id >= 1000")
    people.execute("COMMIT")
    assert rows(people, "SELECT count(*) FROM people WHERE email IS NOT NULL") == [(3002,)]
    assert database.ask("SELECT id FROM people WHERE email = 'n2500@x'") == [(2500,)]
    check_ok(people)


def test_many_pending_rows_can_be_removed_and_added_again(database):
    connection = database.connect()
    connection.execute("CREATE TABLE t (k BIGINT PRIMARY KEY, v BIGINT)")
    for first in (0, 700, 1400):
        values = [(number, number) for number in range(first, first + 700)]
        connection.executemany("INSERT INTO t VALUES (?, ?)", values)
    assert connection.execute("DELETE FROM t").rowcount == 2100
    check_ok(connection)
    values = [(number, -number) for number in range(700)]
    connection.executemany("INSERT INTO t VALUES (?, ?)", values)
    connection.execute("INSERT INTO t VALUES (1500, 0)")
    assert rows(connection, "SELECT count(*), sum(v) FROM t") == [(701, -sum(range(700)))]
    assert connection.execute("UPDATE t SET k = k + 1").rowcount == 701
    assert rows(connection, "SELECT min(k), max(k) FROM t") == [(1, 1501)]
    check_ok(connection)
