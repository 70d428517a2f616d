"""Estimates of conditions on every type, beside counting; and the order in which options are taken."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from decimal import Decimal

import numpy as np
import pytest

from proxy.execute.view import TableView
from proxy.sql.predicates import (
    EVERYTHING,
    NOTHING,
    And,
    Between,
    Equals,
    Folded,
    In,
    Like,
    Literal,
    Match,
    Or,
    Pattern,
)
from proxy.statistics import estimate
from proxy.statistics.choice import FEW, Option, Source, following, outline
from proxy.statistics.estimate import Estimator
from tests.fixtures.databases import Database, rows

COUNT = 1200
TYPES = {
    "b": "BOOLEAN", "s": "SMALLINT", "i": "INTEGER", "l": "BIGINT", "m": "DECIMAL(7,2)",
    "w": "DECIMAL(30,1)", "r": "REAL", "f": "DOUBLE", "t": "TEXT", "o": "BLOB", "d": "DATE",
    "c": "TIME", "p": "TIMESTAMP", "z": "TIMESTAMPTZ", "u": "UUID", "j": "JSON", "n": "TEXT",
}  # fmt: skip
FLOATS = [0.0, -0.0, math.nan, 1.5, math.inf, -math.inf, -2.5, 5e-40]


def row(number):
    day = dt.datetime(2024, 1, 1) + dt.timedelta(hours=number % 500)
    return (
        number % 3 == 0, number % 70 - 30, number % 400, number * 10**12, Decimal(number % 90) / 4,
        Decimal(10**20 + number % 50), FLOATS[number % 8], FLOATS[number % 7],
        f"text {number % 60}", bytes([number % 50] * 20), day.date(), day.time(), day,
        day.replace(tzinfo=dt.timezone(dt.timedelta(hours=number % 3))), uuid.UUID(int=number % 80),
        '{"a": 1}', None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """An analysed table, the values of its columns, and a way to ask for shares."""
    database = Database.make(tmp_path_factory.mktemp("estimate"))
    connection = database.connect(pin=False)
    connection.execute(f"CREATE TABLE t ({', '.join(f'{n} {k}' for n, k in TYPES.items())})")
    marks = ", ".join("?" for _ in TYPES)
    made = [row(number) for number in range(COUNT)]
    connection.executemany(f"INSERT INTO t VALUES ({marks})", made[:700])
    connection.execute("VACUUM")
    connection.executemany(f"INSERT INTO t VALUES ({marks})", made[700:])
    connection.execute("ANALYZE")
    stored = rows(connection, "SELECT * FROM t")
    session = connection.session
    with session.reading(everything=True):
        state = session.database.tables[session.catalog.table("t").id]
        state.statistics.read()
    ids = {column.name: column.id for column in state.table.columns}
    columns = dict(zip(TYPES, zip(*stored, strict=True), strict=True))
    yield Estimator(TableView(state)), ids, columns
    database.drop()


def same(left, right):
    """Equality of SQL: NaN is equal to NaN."""
    return key(left) == key(right)


def key(value):
    """An order in which NaN comes last."""
    return (1, 0) if isinstance(value, float) and math.isnan(value) else (0, value)


ORDERED = [name for name in TYPES if name not in "jn"]


@pytest.mark.parametrize("name", ORDERED)
def test_equality(table, name):
    estimator, ids, columns = table
    values = columns[name]
    chosen = values[::97]
    for value in chosen:
        real = sum(same(value, other) for other in values)
        found = estimator.share(Equals(ids[name], Literal(value))) * COUNT
        assert found == pytest.approx(real, abs=2), value
    listed = [
        one for place, one in enumerate(chosen) if not any(same(one, x) for x in chosen[:place])
    ]
    several = In(ids[name], tuple(map(Literal, [*chosen, None])))
    real = sum(any(same(value, one) for one in listed) for value in values)
    assert estimator.share(several) * COUNT == pytest.approx(real, rel=0.1, abs=2 * len(listed))
    assert estimator.share(Equals(ids[name], Literal(None))) == 0


@pytest.mark.parametrize("name", ORDERED)
def test_ranges(table, name):
    estimator, ids, columns = table
    values = sorted(columns[name], key=key)
    for low, high in [(0, 1199), (100, 200), (599, 600), (30, 1000), (0, 0)]:
        ends = values[low], values[high]
        if name == "b" and ends[0] == ends[1]:
            continue
        for inclusive in (True, False):
            atom = Between(ids[name], Literal(ends[0]), inclusive, Literal(ends[1]), inclusive)
            least, most = map(key, ends)
            real = sum(
                least <= key(value) <= most if inclusive else least < key(value) < most
                for value in values
            )
            # The keys of long values are cut, so whether an end belongs to a range is not seen.
            close = 0.05 if name in "to" else 0.025
            assert estimator.share(atom) == pytest.approx(real / COUNT, abs=close)
        half = Between(ids[name], low=Literal(ends[0]))
        real = sum(key(value) >= key(ends[0]) for value in values)
        assert estimator.share(half) == pytest.approx(real / COUNT, abs=0.025)


def test_columns_of_nothing_but_nulls(table):
    estimator, ids, _ = table
    assert estimator.share(Equals(ids["n"], Literal("x"))) == 0
    assert estimator.share(Between(ids["n"], Literal("a"))) == 0


def test_patterns(table):
    estimator, ids, columns = table
    for prefix in ("text", "text 1", "text 12", "u", "text 59 and more"):
        real = sum(value.startswith(prefix) for value in columns["t"])
        for like in (
            Like(ids["t"], (prefix,), True, False),
            Like(ids["t"], (prefix, "x"), True, True),
        ):
            assert estimator.share(like) == pytest.approx(real / COUNT, abs=0.025)
    inside = Like(ids["t"], ("ext",), False, False)
    assert estimator.share(inside) is None
    assert estimator.guess(inside) == estimate.OTHER_SHARE
    assert estimator.share(Pattern(ids["t"], (Literal("a%"),), "like")) is None
    # Values that fold alike are thought to be as frequent as those that do not.
    assert estimator.share(Folded(Equals(ids["t"], Literal("text 5")))) == pytest.approx(1 / 60)
    wide = Folded(Between(ids["t"], Literal("text")))
    assert estimator.share(wide) is None
    assert estimator.guess(wide) == estimate.RANGE_SHARE


def test_conjunctions_and_disjunctions(table):
    estimator, ids, _ = table
    third, text = Equals(ids["b"], Literal(True)), Equals(ids["t"], Literal("text 5"))
    assert estimator.share(third) == pytest.approx(1 / 3)
    assert estimator.share(text) == pytest.approx(1 / 60)
    assert estimator.share(And((third, text))) == pytest.approx(1 / 180)
    assert estimator.share(Or((third, text))) == pytest.approx(1 / 3 + 1 / 60)
    assert estimator.share(Or((third, third, third, third))) == 1
    assert estimator.share(EVERYTHING) == 1
    assert estimator.share(NOTHING) == 0
    assert estimator.share(And((third, Match(0)))) is None
    assert estimator.rows_of([third, text]) == pytest.approx(COUNT / 180)
    assert estimator.at_most([third, text]) == pytest.approx(COUNT / 60)
    assert estimator.at_most([Match(0)]) == COUNT


def test_guesses(database):
    connection = database.connect()
    connection.execute("CREATE TABLE t (a INT)")
    connection.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(1000)])
    session = connection.session
    with session.reading(everything=True):
        estimator = Estimator(TableView(session.database.tables[session.catalog.table("t").id]))
        one, wide = Equals(1, Literal(5)), Between(1, Literal(5))
        many = In(1, tuple(Literal(n) for n in range(500)))
        assert [estimator.share(atom) for atom in (one, wide, many)] == [None] * 3
        assert estimator.guess(one) < estimator.guess(Match(0)) < estimator.guess(wide)
        assert estimator.guess(many) == estimate.MOST_SHARE
        assert estimator.guess(And((one, wide))) == estimator.guess(one) * estimator.guess(wide)
        assert estimator.guess(Or((one, wide))) == estimator.guess(one) + estimator.guess(wide)
        assert estimator.correlation((one,)) == 0


def test_small_tables_are_not_worth_reading_statistics_for(database):
    connection = database.connect()
    connection.execute("CREATE TABLE t (a INT)")
    connection.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(FEW + 1)])
    connection.execute("ANALYZE")
    session = connection.session
    for deleted, known in [("a < 0", True), ("a = 7", False)]:
        connection.execute(f"DELETE FROM t WHERE {deleted}")
        with session.reading(everything=True):
            view = TableView(session.database.tables[session.catalog.table("t").id])
            assert (Estimator(view).share(Equals(1, Literal(5))) is not None) == known


# --- The order of options ----------------------------------------------------------------------------


class Costs:
    """100 packs; a row costs 1, and opening a pack 100."""

    rows = 10_000
    scan = 20_000.0

    def fetch(self, count, correlation=0.0):
        return count + 100 * 100 * (1 - math.exp(-count / 100)) * (1 - correlation**2)


def option(name, share, *, source=Source.STATISTICS, read=10.0, rank=0, covers=None, joint=None):
    covers = covers or (Match(hash(name)),)
    return Option(
        (name,), covers, lambda atom: share ** (1 / len(covers)), source, lambda found: read,
        lambda: np.empty(0, dtype=np.int64), rank=(rank, False), joint=joint,
    )  # fmt: skip


def taken(*options, found=None, covered=frozenset()):
    chosen = following(options, Costs(), found, covered)
    return None if chosen is None else chosen.names[0]


def test_the_cheapest_comes_first():
    assert taken(option("many", 0.2), option("few", 0.1)) == "few"
    assert taken(option("dear", 0.1, read=5000), option("cheap", 0.11)) == "cheap"
    assert taken(option("one", 0.1, rank=2), option("two", 0.1, rank=1)) == "two"
    assert taken() is None


def test_all_rows_are_cheaper_than_most_of_them():
    assert taken(option("half", 0.5, read=6000)) is None
    assert taken(option("half", 0.5, read=100)) == "half"
    # What few rows cost is never compared with a scan.
    assert taken(option("few", FEW / 10_000, read=10**6)) == "few"
    assert taken(option("more", (FEW + 1) / 10_000, read=10**6)) is None


def test_guesses_are_never_refused_and_fences_from_half_of_the_table_on():
    assert taken(option("guess", 0.9, source=Source.GUESS, read=10**6)) == "guess"
    assert taken(option("range", 0.5, source=Source.FENCES, read=10**6)) == "range"
    assert taken(option("range", 0.51, source=Source.FENCES)) is None
    assert (
        taken(option("range", 0.6, source=Source.FENCES), option("guess", 0.9, source=Source.GUESS))
        == "guess"
    )


def test_a_second_index_has_to_save_what_it_costs():
    assert taken(option("two", 0.1, read=10), found=1000) == "two"
    assert taken(option("two", 0.1, read=9500), found=1000) is None
    assert taken(option("two", 0.9, read=400), found=1000) is None
    assert taken(option("two", 0.0, read=0), found=FEW) is None
    assert taken(option("two", 0.0, read=0), found=FEW + 1) == "two"


def test_what_is_covered_already_does_not_count_again():
    a, b = Match(1), Match(2)
    both = option("both", 0.01, covers=(a, b), read=100)
    assert both.share() == pytest.approx(0.01)
    assert both.share(frozenset({a})) == pytest.approx(0.1)
    assert both.share(frozenset({a, b})) == 1
    assert taken(both, found=1000, covered=frozenset({a, b})) is None
    known = option("known", 0.01, covers=(a, b), joint=0.05)
    assert known.share() == 0.05
    assert known.share(frozenset({a})) == pytest.approx(0.1)


def test_looking_closer():
    one = option("range", 0.3, source=Source.GUESS)
    one.looked(None, 10_000)
    assert (one.source, one.share()) == (Source.GUESS, 0.3)
    one.looked(500, 10_000)
    assert (one.source, one.share(), one.look) == (Source.FENCES, 0.05, None)
    one.looked(500, 0)
    assert one.share() == 0


def test_outline():
    plan = outline([option("two", 0.05), option("one", 0.03), option("all", 1.0)], Costs())
    assert [step.names for step in plan.steps] == [("one",), ("two",)]
    assert [step.expected for step in plan.steps] == [300, 500]
    assert plan.rows == pytest.approx(15)
    assert plan.read == 20
    assert plan.best is None
    plan = outline([option("half", 0.5, read=10**5)], Costs())
    assert (plan.steps, plan.rows) == ((), 10_000)
    assert (plan.best.names, plan.best.expected) == (("half",), 5000)
    plan = outline([option("guess", 0.3, source=Source.GUESS)], Costs())
    assert (plan.source, plan.steps[0].expected) == (Source.GUESS, None)
