"""INSERT, UPDATE and DELETE: what the engine is asked for, and what needs no engine."""

import datetime as dt
import uuid
from collections import Counter
from decimal import Decimal

import pytest

from encdb.errors import DatabaseError
from indexes.types import ColumnType
from proxy.catalog import Catalog, Check, Column, Table
from proxy.sql.parse import parse_one
from proxy.sql.predicates import Literal, Parameter
from proxy.sql.write import Shifted, plan_checks, plan_delete, plan_insert, plan_update
from tests.proxy.sql.harness import CATALOG, Runner, as_rows, sample

ITEMS = Table(
    7,
    "items",
    (
        Column(1, "id", ColumnType.parse("BIGINT"), not_null=True),
        Column(2, "name", ColumnType.parse("TEXT"), default="'none'"),
        Column(3, "price", ColumnType.parse("DECIMAL(10,2)"), default="1.50"),
        Column(4, "made", ColumnType.parse("TIMESTAMP WITH TIME ZONE"), default="now()"),
        Column(5, "data", ColumnType.parse("BLOB")),
    ),
    checks=(Check("dear", "price > 1"), Check("named", "name <> 'x'")),
)
SHOP = Catalog(tables=(*CATALOG.tables, ITEMS))


@pytest.fixture
def runner():
    return Runner(SHOP, sample() | {"items": [[1, "a", Decimal("2.00"), None, b"\x01"]]})


def values(rows):
    return [
        [operand.value if isinstance(operand, Literal) else operand for operand in row]
        for row in rows
    ]


def test_constant_rows_need_no_engine():
    plan = plan_insert(
        parse_one(
            "INSERT INTO items (price, id, made, data) VALUES "
            "(1e-1, ?, '2020-01-01', '\\xAB'), (-2.5, 7, NULL, x'00')"
        ),
        SHOP,
    )
    assert plan.columns == (3, 1, 4, 5, 2)
    assert plan.query is None
    assert values(plan.rows) == [
        [Decimal("0.1"), Parameter(0), "2020-01-01", b"\xab", "none"],
        [Decimal("-2.5"), 7, None, b"\x00", "none"],
    ]


def test_without_a_list_the_first_columns_are_meant():
    plan = plan_insert(parse_one("INSERT INTO u VALUES (1, 2)"), SHOP)
    assert values(plan.rows) == [[1, 2, None, None, None]]
    plan = plan_insert(parse_one("INSERT INTO u DEFAULT VALUES"), SHOP)
    assert values(plan.rows) == [[None] * 5]
    plan = plan_insert(parse_one("INSERT INTO u (id, z) VALUES (DEFAULT, 3)"), SHOP)
    assert (plan.columns, values(plan.rows)) == ((1, 3, 2, 4, 5), [[None, 3, None, None, None]])


def test_a_default_that_is_no_constant_goes_through_the_engine(runner):
    plan = plan_insert(
        parse_one("INSERT INTO items (id, name) VALUES (1, upper('a')), (2, ?)"), SHOP
    )
    assert plan.rows is None
    rows = as_rows(runner.run(plan.query, ["b"], reduce=True))
    now = dt.datetime(2024, 2, 29, 12, 30, 45, 678901, tzinfo=dt.UTC)
    assert plan.columns == (1, 2, 3, 4, 5)
    assert rows == [(1, "A", Decimal("1.50"), now, None), (2, "b", Decimal("1.50"), now, None)]


def test_insert_select(runner):
    plan = plan_insert(parse_one("INSERT INTO u SELECT id, x, s FROM t WHERE id < 3"), SHOP)
    assert plan.columns == (1, 2, 3, 4, 5)
    assert as_rows(runner.run(plan.query, reduce=True)) == [
        (0, -3, 0, None, None),
        (1, -2, 1, None, None),
        (2, None, 2, None, None),
    ]
    plan = plan_insert(
        parse_one("WITH c AS (SELECT 5 AS a) INSERT INTO u (z) SELECT a FROM c"), SHOP
    )
    assert plan.columns == (3, 1, 2, 4, 5)
    assert as_rows(runner.run(plan.query, reduce=True)) == [(5, None, None, None, None)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("INSERT INTO u (id, z) VALUES (1)", "E_SYNTAX"),
        ("INSERT INTO u (id) VALUES (1, 2)", "E_SYNTAX"),
        ("INSERT INTO u VALUES (1, 2, 3, 4, 5, 6)", "E_SYNTAX"),
        ("INSERT INTO u VALUES (1), (1, 2)", "E_SYNTAX"),
        ("INSERT INTO u (id) SELECT id, x FROM t", "E_SYNTAX"),
        ("INSERT INTO u (id, z) SELECT id FROM t", "E_SYNTAX"),
        ("INSERT INTO u (nope) VALUES (1)", "E_UNKNOWN_COLUMN"),
        ("INSERT INTO u (id, ID) VALUES (1, 2)", "E_DUPLICATE_COLUMN"),
        ("INSERT INTO nope VALUES (1)", "E_UNKNOWN_TABLE"),
        ("INSERT INTO items (data) VALUES ('\\q')", "E_INVALID_VALUE"),
        ("INSERT INTO other.u VALUES (1)", "E_NOT_SUPPORTED"),
        ("INSERT INTO u (id) VALUES (id)", "E_UNKNOWN_COLUMN"),
        ("INSERT INTO u (id) VALUES (1) RETURNING nope", "E_UNKNOWN_COLUMN"),
        ("UPDATE u SET nope = 1", "E_UNKNOWN_COLUMN"),
        ("UPDATE u SET z = 1, Z = 2", "E_DUPLICATE_COLUMN"),
        ("UPDATE u SET z = nope", "E_UNKNOWN_COLUMN"),
        ("DELETE FROM u WHERE nope = 1", "E_UNKNOWN_COLUMN"),
        ("DELETE FROM u USING u", "E_AMBIGUOUS_NAME"),
    ],
)
def test_mistakes(text, code):
    plan = {"INSERT": plan_insert, "UPDATE": plan_update, "DELETE": plan_delete}[text.split()[0]]
    with pytest.raises(DatabaseError) as caught:
        plan(parse_one(text), SHOP)
    assert caught.value.code == code


def test_update(runner):
    plan = plan_update(
        parse_one("UPDATE t AS a SET x = x + 1, d = 2.345, y = DEFAULT WHERE a.x = 2 AND id < 20"),
        SHOP,
    )
    assert plan.columns == (2, 5, 4)
    assert plan.simple == (Shifted(2, Literal(1), False), Literal(Decimal("2.345")), Literal(None))
    access = plan.query.accesses[0]
    assert access.ordinals
    whole = runner.run(plan.query, reduce=False)
    assert whole.column_names == ["__ordinal", "x", "d", "y"]
    assert as_rows(whole) == [
        (5, 3, Decimal("2.35"), None),
        (12, 3, Decimal("2.35"), None),
        (19, 3, Decimal("2.35"), None),
    ]
    assert as_rows(runner.run(plan.query, reduce=True)) == as_rows(whole)


def test_constant_updates_by_an_exact_predicate_need_no_engine():
    plan = plan_update(parse_one("UPDATE t SET x = ?, y = 'q' WHERE id = ?"), SHOP)
    assert plan.simple == (Parameter(0), Literal("q"))
    assert plan.query.direct == ()
    assert plan.query.accesses[0].exact
    plan = plan_update(parse_one("UPDATE t SET x = 1 WHERE id = 3 AND length(y) = 1"), SHOP)
    assert plan.query.direct is None


def test_update_from_changes_each_row_once(runner):
    plan = plan_update(
        parse_one(
            "UPDATE t SET x = u.z FROM u WHERE u.t_id = t.id AND t.id IN (SELECT id FROM t WHERE s = 0)"
        ),
        SHOP,
    )
    rows = as_rows(runner.run(plan.query, reduce=False))
    ordinals = [row[0] for row in rows]
    assert ordinals
    assert len(set(ordinals)) == len(ordinals)
    assert Counter(row[0] for row in as_rows(runner.run(plan.query, reduce=True))) == Counter(
        ordinals
    )


def test_stars_never_show_hidden_columns(runner):
    plan = plan_delete(
        parse_one(
            "DELETE FROM t WHERE notes @@ 'fox' AND EXISTS (SELECT * FROM (SELECT * FROM t) q WHERE q.x = 1)"
        ),
        SHOP,
    )
    assert runner.run(plan.query, reduce=True).column_names == ["__ordinal"]
    assert "EXCLUDE" in plan.query.sql


def test_delete(runner):
    plan = plan_delete(parse_one("DELETE FROM t WHERE x = 2 AND id < 20"), SHOP)
    assert plan.query.direct == ()
    assert as_rows(runner.run(plan.query, reduce=True)) == [(5,), (12,), (19,)]
    plan = plan_delete(
        parse_one("DELETE FROM t USING u WHERE t.id = u.t_id AND u.z = 3 RETURNING *"), SHOP
    )
    assert as_rows(runner.run(plan.query, reduce=True)) == as_rows(
        runner.run(plan.query, reduce=False)
    )
    assert plan.returning.accesses[0].columns == frozenset(range(1, 16))
    assert plan_delete(parse_one("DELETE FROM t"), SHOP).query.accesses[0].predicate is None


def test_a_natural_join_with_hidden_columns_is_refused():
    with pytest.raises(DatabaseError):
        plan_delete(parse_one("DELETE FROM u WHERE id IN (SELECT id FROM u NATURAL JOIN v)"), SHOP)


def test_returning(runner):
    plan = plan_insert(
        parse_one("INSERT INTO items (id) VALUES (1) RETURNING id + 1 AS next, items.name"), SHOP
    )
    assert as_rows(runner.run(plan.returning, reduce=True)) == [(2, "a")]
    plan = plan_update(parse_one("UPDATE items AS i SET id = 1 RETURNING i.*"), SHOP)
    assert runner.run(plan.returning, reduce=True).column_names == [
        "id",
        "name",
        "price",
        "made",
        "data",
    ]


def test_values_are_cast_like_assignments(runner):
    plan = plan_update(
        parse_one(
            "UPDATE t SET bl = '\\x0A', u = '00000000-0000-0000-0000-000000000001', tm = '10:00' WHERE id = 0"
        ),
        SHOP,
    )
    assert values([plan.simple]) == [[b"\n", "00000000-0000-0000-0000-000000000001", "10:00"]]
    table = runner.run(plan.query, reduce=True)
    found = [column.to_pylist()[0] for column in table.columns]
    assert found[1] == b"\n"
    assert found[2] in (uuid.UUID(int=1), uuid.UUID(int=1).bytes, str(uuid.UUID(int=1)))
    assert found[3] == dt.time(10)


def test_checks(runner):
    plan = plan_checks(ITEMS, SHOP)
    assert plan.accesses[0].columns == {2, 3}
    assert as_rows(runner.run(plan, reduce=True)) == [(True, True)]
    for price, name, wanted in (
        ("1.00", "a", (False, True)),
        (None, "x", (True, False)),
        ("5", None, (True, True)),
    ):
        runner.data["items"] = [[1, "b", Decimal(2), None, None], [2, name, price, None, None]]
        assert as_rows(runner.run(plan, reduce=True)) == [wanted]
    assert plan_checks(CATALOG.tables[0], SHOP) is None
