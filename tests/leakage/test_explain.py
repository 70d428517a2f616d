"""EXPLAIN (LEAKAGE): what would be sent and what it tells; with ANALYZE, what was."""

from __future__ import annotations

import dataclasses

import pytest

import encdb
from encdb import trace, wire
from encdb.errors import EncdbError
from encdb.trace import FROM_STORE, TO_STORE, Event
from indexes.leakage import Leak
from indexes.multimap.segment import dictionary_id
from indexes.types import ColumnType
from proxy.catalog import Catalog, Column, Index, Table
from proxy.leakage.planned import planned
from proxy.leakage.seen import Seen, paired
from proxy.leakage.shape import Shape
from proxy.sql.parse import parse_one
from proxy.sql.plan import plan_query
from proxy.sql.write import plan_delete, plan_insert, plan_update
from tests.fixtures.databases import refused, rows

from .histories import HASHED
from .running import KEYRING, STORE

PATIENTS = Table(
    1,
    "patients",
    tuple(
        Column(number, name, ColumnType.parse(kind))
        for number, (name, kind) in enumerate(
            [("id", "BIGINT"), ("zip", "TEXT"), ("age", "INTEGER"), ("notes", "TEXT")], start=1
        )
    ),
    (
        Index(1, "pkey", "equality", (1,), unique=True, primary=True),
        Index(2, "by_zip", "equality", (2,)),
        Index(3, "by_age", "range", (3,)),
        Index(4, "by_notes", "keyword", (4,)),
        Index(5, "tagged", "det", (2,), options=(("join_group", "zip"),)),
        Index(6, "ranked", "ope", (3,)),
        Index(7, "covers", "equality", (4,), include=(3,)),
    ),
)
CATALOG = Catalog(tables=(PATIENTS,))
LARGE = Shape(
    (40, 100), {3: (30,), dictionary_id(4): (20,)}, (2,), analysed=False, rows=9_000, pending=3
)
SMALL = Shape((5,), {3: (4,)}, (2,), analysed=True, rows=300, pending=0)


def explained(sql, *names, shape=LARGE):
    plan = plan_query(parse_one(sql), CATALOG)
    return planned(plan, {1: shape}, [list(names) if names else None])


def sent(lines):
    """The messages without what they tell."""
    return [line.strip() for line in lines if line.startswith("  ") and line[2] != " "]


def leaks_in(lines):
    """Every leak that the lines name."""
    found = set()
    for line in lines:
        if "the store learns as above: " in line:
            found |= set(line.rpartition(": ")[2].split(", "))
        elif "the store learns " in line:
            found.add(line[line.rindex("(") + 1 : -1])
    assert found <= {leak.value for leak in Leak}
    return found


# --- Before a run ----------------------------------------------------------------------------------


def test_an_equality():
    assert explained("SELECT age FROM patients WHERE zip = $1", "by_zip") == [
        "store",
        "  ReadHeads: what has changed in the tables that are open, whatever the statement asks",
        "    the store learns that a statement concerns a table, which of its segments it uses, and when (table use)",
        "table patients",
        "  ReadPages: which settled rows are live, the header or all of it, once after each merge",
        "    the store learns as above: table use",
        "  ReadPages: the bucket pages of what by_zip (equality) is asked for, in 2 segments of 40 and 100 pages",
        "    the store learns whether two lookups may be for the same term, until the next merge (search pattern)",
        "    the store learns how many terms are looked up (term count)",
        "  ReadPages: the pages of those lists among them that are longer than 128 bytes",
        "    the store learns the length class of each list that is read: inline, slot, or a chain of pages (volume class)",
        "  ReadPacks: zip, age of the blocks of the rows found",
        "    the store learns which recent rows, or which columns of which blocks of 4,096 settled ones, are fetched (access pattern)",
        "  ReadRows: the rows found, as far as recent",
        "    the store learns as above: access pattern",
    ]


def test_small_segments_are_read_whole():
    lines = explained("SELECT age FROM patients WHERE zip = $1", "by_zip", shape=SMALL)
    assert sent(lines)[1:] == [
        "ReadPages: which settled rows are live, the header or all of it, once after each merge",
        "ReadPages: the statistics, whole, before the first choice between indexes",
        "ReadPages: every page that hashed indexes share, in a segment of 5 pages",
        "ReadPacks: zip, age of the blocks of the rows found",
    ]
    assert leaks_in(lines) == {"table use", "access pattern"}


@pytest.mark.parametrize(
    ("sql", "names", "told"),
    [
        ("SELECT zip FROM patients", (), {"access pattern"}),
        ("SELECT count(*) FROM patients", (), set()),
        ("SELECT max(age) FROM patients", (), {"range pages", "page order over time"}),
        (
            "SELECT age FROM patients ORDER BY age DESC LIMIT 3",
            (),
            {"range pages", "page order over time", "search pattern", "volume class"},
        ),
        ("SELECT age FROM patients ORDER BY age LIMIT 3", (), {"range pages"}),
        ("SELECT id FROM patients WHERE age > 3", ("by_age",), {"range pages"}),
        (
            "SELECT id FROM patients WHERE notes @@ 'x*y' OR notes @@ 'xy*'",
            ("by_notes",),
            {"volume class", "range pages"},
        ),
        ("SELECT notes @@ 'x' FROM patients", (), {"search pattern", "volume class"}),
        ("SELECT id FROM patients WHERE zip = 'x'", ("tagged",), {"result", "search pattern"}),
    ],
)
def test_other_accesses(sql, names, told):
    lines = explained(sql, *names)
    assert told <= leaks_in(lines)
    hidden = {"search pattern", "volume class", "term count", "range pages", "page order over time"}
    if not told & hidden:
        assert not leaks_in(lines) & hidden
    assert "'x'" not in "\n".join(lines)


@pytest.mark.parametrize(
    ("query", "part", "whole"),
    [("'x'", 0, 0), ("'xy* x'", 1, 0), ("'x*y'", 0, 1), ("'xy*  -xz~1'", 0, 1), ("$1", 1, 1)],
)
def test_what_patterns_read_of_a_dictionary(query, part, whole):
    for sql, names in (
        (f"SELECT id FROM patients WHERE notes @@ {query}", ("by_notes",)),
        (f"SELECT notes @@ {query} FROM patients", ()),
    ):
        listed = sent(explained(sql, *names))
        read = [one for one in listed if "the dictionary of by_notes" in one]
        assert sum("a range or prefix covers" in one for one in read) == part
        assert sum("every page" in one for one in read) == whole
        assert ("range pages" in leaks_in(explained(sql, *names))) == bool(part)


def test_changes():
    insert = plan_insert(parse_one("INSERT INTO patients (id, zip) VALUES (7, 'Z')"), CATALOG)
    lines = planned(insert, {1: LARGE}, [])
    assert "changes to patients" in lines
    assert [line.partition(":")[0] for line in sent(lines)] == [
        *("ReadHeads", "Lease", "ReadPages", "ReadPages", *["Commit"] * 5),
    ]
    assert "  Commit: the entries of tagged" in lines
    assert {"unique tags", "search pattern", "recurrence", "change size class"} <= leaks_in(lines)

    update = plan_update(parse_one("UPDATE patients SET age = 3 WHERE id = 7"), CATALOG)
    lines = planned(update, {1: LARGE}, [["pkey"]])
    assert "  ReadPacks: id, zip, notes of the blocks of the rows found" in lines
    assert "removed rows" in leaks_in(lines)
    assert sum("the new values of" in line for line in lines) == 0

    delete = plan_delete(parse_one("DELETE FROM patients WHERE zip = 'Z'"), CATALOG)
    lines = planned(delete, {1: LARGE}, [["by_zip"]])
    assert "  ReadPacks: id, zip, notes of the blocks of the rows found" in lines
    assert {"removed rows", "volume class"} <= leaks_in(lines)
    assert "row count" not in leaks_in(lines)
    assert "'Z'" not in "\n".join(lines)


def test_a_join_may_look_up_the_rows_of_one_side_by_the_other():
    sql = "SELECT a.age FROM patients a JOIN patients b ON a.zip = b.zip WHERE b.id = 3"
    plan = plan_query(parse_one(sql), CATALOG)
    lines = planned(plan, {1: LARGE}, [None] * len(plan.accesses))
    assert all("by_zip" in line for line in lines if "is asked for" in line)


def test_what_the_store_itself_is_asked():
    lines = explained("SELECT zip, count(*) FROM patients GROUP BY zip")
    assert sent(lines)[1].startswith("ReadGroups: the tags of tagged")
    assert "result" in leaks_in(lines)
    assert "search pattern" not in leaks_in(lines)
    for sql in ("SELECT id FROM patients ORDER BY age LIMIT 3", "SELECT min(age) FROM patients"):
        lines = explained(sql)
        assert "  ReadVisible: the rows at one end of ranked (ope)" in lines
    sql = "SELECT a.id FROM patients a JOIN patients b ON a.zip = b.zip WHERE b.id = 3"
    other = dataclasses.replace(PATIENTS, id=2, name="others")
    plan = plan_query(
        parse_one(sql.replace("patients b", "others b")), Catalog(tables=(PATIENTS, other))
    )
    lines = planned(plan, {1: LARGE, 2: LARGE}, [None] * len(plan.accesses))
    assert "  ReadJoin: by the tags of both sides" in lines


def test_a_covering_index_spares_the_rows():
    lines = explained("SELECT age FROM patients WHERE notes = 'x'", "covers")
    assert lines[-2:] == [
        "  no row is fetched: covers holds every column that is needed",
        "    tells nothing about the statement",
    ]
    assert "access pattern" not in leaks_in(lines)
    lines = explained("SELECT age, zip FROM patients WHERE notes = 'x'", "covers")
    assert "access pattern" in leaks_in(lines)


# --- Options -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "analyze", "leakage"),
    [
        ("(LEAKAGE)", False, True),
        ("(leakage, ANALYZE)", True, True),
        ("(ANALYZE on, LEAKAGE off)", True, False),
        ("(LEAKAGE true, LEAKAGE false)", False, False),
        ("(COSTS off, LEAKAGE 1)", False, True),
        ("ANALYZE", True, False),
    ],
)
def test_options(options, analyze, leakage):
    found = parse_one(f"EXPLAIN {options} SELECT 1")
    assert (found.analyze, found.leakage) == (analyze, leakage)


def test_an_unknown_option_is_refused():
    error = refused("E_NOT_SUPPORTED", parse_one, "EXPLAIN (LEAKS) SELECT 1")
    assert "LEAKAGE" in error.fix


# --- After a run -----------------------------------------------------------------------------------


@pytest.fixture
def large(tmp_path, prepared):
    """A store of 4,600 rows, and a way to open it."""
    start, _ = prepared.of(HASHED)
    start.copy(tmp_path / "store")
    opened = []

    def connect(**options):
        opened.append(
            encdb.connect(
                str(tmp_path / "store" / STORE),
                keyring=str(tmp_path / "store" / KEYRING),
                **options,
            )
        )
        return opened[-1]

    yield connect
    for one in opened:
        one.close()


def ask(connection, sql, options="LEAKAGE, ANALYZE"):
    return [line for (line,) in rows(connection, f"EXPLAIN ({options}) {sql}")]


LOOKUP = "SELECT code FROM t WHERE id = 77"


def test_what_a_lookup_has_told(large):
    connection = large()
    first, again = ask(connection, LOOKUP), ask(connection, LOOKUP)
    assert [line.partition(" segment")[0] for line in sent(first)] == [
        "ReadHeads: what is new in the schema; nothing",
        "ReadHeads: what is new in 1 table; nothing",
        "ReadPages: all of liveness",
        "ReadPages: the header of hashed",
        "ReadPages: 1 bucket page of hashed",
        "ReadPacks: id, code of 1 block of t, 129584 bytes",
    ]
    assert leaks_in(first) == {"table use", "search pattern", "term count", "access pattern"}
    # What is held is not asked for again.
    assert sent(again) == ["ReadHeads: what is new in 1 table; nothing"]
    assert "77" not in "\n".join(line for line in first if "bytes" not in line)


def test_nothing_is_told_that_was_not_announced(large):
    queries = [
        LOOKUP,
        "SELECT id FROM t WHERE body @@ 'often'",
        "SELECT id FROM t WHERE body @@ 'seldom' AND id IN (1, 2, 3)",
        "SELECT id FROM t WHERE body @@ 'seld*' AND id < 3",
        "SELECT count(*) FROM t",
        "SELECT id FROM t WHERE code < '5'",
        "SELECT a.code FROM t a JOIN t b ON a.id = b.id WHERE b.id = 5",
        "SELECT max(code) FROM t",
    ]
    for sql in queries:
        before, after = ask(large(), sql, "LEAKAGE"), ask(large(), sql)
        assert leaks_in(after) <= leaks_in(before), sql
        kinds = {line.partition(":")[0] for line in sent(before)}
        assert {line.partition(":")[0] for line in sent(after)} <= kinds, sql


def test_the_trace_of_the_connection_is_used_if_it_keeps_one(large):
    connection = large(record=True)
    lines = ask(connection, LOOKUP)
    recorder = connection.session.trace
    requests = [one for one in recorder.events if one.boundary == TO_STORE]
    # The first message asks which database it is.
    assert f"store: {len(requests) - 1} requests" in lines[-1]
    assert all("none of them asked for before" in one for one in sent(lines) if "bucket" in one)
    rows(connection, LOOKUP)
    assert connection.session.trace is recorder


def test_without_a_trace_nothing_stays_recorded(large):
    connection = large()
    store = connection.session.store
    ask(connection, LOOKUP)
    assert connection.session.trace is None
    assert connection.session.store is store
    with pytest.raises(EncdbError):
        ask(connection, "SELECT nothing FROM t")
    assert connection.session.store is store
    rows(connection, LOOKUP)


def test_in_a_transaction(large):
    connection = large()
    connection.execute("BEGIN")
    connection.execute("INSERT INTO t VALUES (-1, 'x', 'y')")
    lines = ask(connection, LOOKUP)
    assert not any("ReadHeads" in line for line in lines)
    assert any("ReadPacks: id, code" in line for line in lines)
    assert ask(connection, "SELECT code FROM t WHERE id = -1")[-1].startswith("store: ")
    connection.execute("COMMIT")
    assert rows(connection, "SELECT count(*) FROM t") == [(4_601,)]


def test_changes_are_not_run(large):
    connection = large()
    refused("E_NOT_SUPPORTED", ask, connection, "DELETE FROM t")
    lines = ask(connection, "DELETE FROM t", "LEAKAGE")
    assert "removed rows" in leaks_in(lines)
    assert rows(connection, "SELECT count(*) FROM t") == [(4_600,)]


# --- Every kind of message -----------------------------------------------------------------------------


def event(boundary, message, outcome=""):
    ids, sizes = trace.visible(message)
    return Event(
        session=1,
        sequence=1,
        boundary=boundary,
        kind=type(message).__name__,
        ids=tuple((name, tuple(values)) for name, values in ids.items()),
        sizes=tuple((name, tuple(values)) for name, values in sizes.items()),
        outcome=outcome,
    )


class Manifest:
    every_segment = ()


class State:
    table = PATIENTS
    manifest = Manifest()


EXCHANGES = [
    (wire.ReadHeads(1, (), if_changed=True), None),
    (wire.ReadPages(1, (5 << 32,)), wire.Blobs(1, (5 << 32,), (b"x" * 4_032,))),
    (wire.ReadRows(1, (7, 9)), wire.Blobs(1, (7, 9), (b"x" * 96, b"x" * 112))),
    (wire.ReadPacks(1, (3 << 11, 3 << 11 | 2)), wire.Blobs(1, (3 << 11,), (b"x" * 80,))),
    (wire.ReadKeys(1, None), wire.Keys(1, ())),
    (wire.ListIds(1, "rows"), wire.Ids(1, (7,))),
    (wire.ReadLayout(), None),
]


def test_every_message_that_reads_is_explained():
    kinds = {one.__name__ for one in wire.ReadRequest.__args__}
    assert {type(request).__name__ for request, _ in (*EXCHANGES, *visible())} == kinds
    for request, answer in (*EXCHANGES, *visible()):
        events = [event(TO_STORE, request)]
        events += [] if answer is None else [event(FROM_STORE, answer)]
        lines = Seen({1: State()}, None).lines(events)
        assert lines[0].startswith(f"  {type(request).__name__}: ")
        assert any(line.startswith("    the store learns") for line in lines)


def visible():
    """Messages of server-visible indexes, as far as there are any."""
    if not hasattr(wire, "ReadVisible"):
        return []
    test = wire.VisibleTest(5, "tag", (b"t" * 16,))
    side = wire.JoinSide(1, 5)
    found = [
        (wire.ReadVisible(1, (test,)), wire.Ids(1, (7, 9))),
        (wire.ReadGroups(1, 5), wire.Groups(1, ((b"t" * 16, 2, 7),))),
        (wire.ReadJoin(side, side), wire.Joined((7, 9), (8,))),
    ]
    if hasattr(wire, "ReadEntries"):
        found.append((wire.ReadEntries(1, (1,)), wire.Blobs(1, (1,), (b"\1t",))))
    return found


def test_what_the_store_answers_by_itself():
    for (request, answer), words in zip(
        visible(), ["1 value given, 2 rows", "0 values given, 1 group", "2 and 1 row"], strict=False
    ):
        events = [event(TO_STORE, request), event(FROM_STORE, answer)]
        lines = Seen({1: State()}, None).lines(events)
        assert f"by tagged (det), {words}" in lines[0] or words in lines[0]
        assert "result" in leaks_in(lines)
        assert ("search pattern" in leaks_in(lines)) == words.startswith("1 value")


def test_repetition_is_told():
    earlier = [event(TO_STORE, wire.ReadRows(1, (7, 8)))]
    request, answer = EXCHANGES[2]
    events = [event(TO_STORE, request), event(FROM_STORE, answer)]
    lines = Seen({1: State()}, earlier).lines(events)
    assert lines[0] == (
        "  ReadRows: 2 recent rows of patients: 1 of 96 bytes, 1 of 112 bytes; 1 of them asked for before"
    )
    assert "asked for before" not in Seen({1: State()}, None).lines(events)[0]
    twice = Seen({1: State()}, None).lines([*events, *events])
    assert sum("all of them asked for before" in line for line in twice) == 1


def test_requests_that_go_together_are_told_apart():
    first, second = (event(TO_STORE, EXCHANGES[number][0]) for number in (1, 2))
    answers = [event(FROM_STORE, EXCHANGES[number][1]) for number in (1, 2)]
    found = list(paired([first, second, *answers]))
    assert [(one.request, one.answer) for one in found] == [
        (first, answers[0]),
        (second, answers[1]),
    ]
    assert next(iter(paired([first]))).answer is None
