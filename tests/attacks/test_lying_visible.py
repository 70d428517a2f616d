"""A store that lies about what it finds, counts and joins by server-visible indexes.

Rows and groups that it names wrongly are noticed, because each is opened. What it leaves out is not, where NULL or a
condition can explain it: that is the price of these methods, and the last tests here put it on record. What the
store keeps, and not only says, is found wrong by ``encdb check``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from encdb import wire
from encdb.errors import TamperError
from proxy.check import check
from proxy.session import Session
from tests.attacks.lying_store import Rows, World, forge, liar, rows
from tests.fixtures.kinds import StoreKind

ACCEPT = "accept_leakage = true"
FILTER = "SELECT id FROM people WHERE zip = 'z1'"
RANGE = "SELECT id FROM people WHERE score BETWEEN 3 AND 5"
ORDERED = "SELECT id, age FROM people ORDER BY age, id LIMIT 4"
BORN = "SELECT id FROM people ORDER BY born LIMIT 3"
GROUPS = "SELECT zip, count(*) FROM people GROUP BY zip"
KINDS = "SELECT kind, count(*) FROM people GROUP BY kind"
YOUNG = "SELECT zip, count(*) FROM people WHERE age < 20 GROUP BY zip"
JOINED = (
    "SELECT p.id, v.id AS visit FROM people p JOIN visits v ON v.person = p.id WHERE p.zip = 'z1'"
)
QUESTIONS = (FILTER, RANGE, ORDERED, BORN, GROUPS, KINDS, YOUNG, JOINED)
ANSWERS = {wire.ReadVisible: "Ids", wire.ReadGroups: "Groups", wire.ReadJoin: "Joined"}
READS = (wire.ReadVisible, wire.ReadGroups, wire.ReadJoin)
HUGE = 1 << 63


@dataclasses.dataclass
class Shown:
    """A world whose store sees values, a session on it, and the right answers."""

    world: World
    session: Session
    answers: dict[str, Rows]
    dead: int
    """The label of a row that was removed."""

    def labels(self, where: str) -> list[int]:
        """Labels of the people that fulfil a condition."""
        ordinals = self.ordinals(where)
        state = self.session.database.tables[self.session.table("people").id]
        return [int(one) for one in state.keys.labels.to_labels(ordinals)]

    def ordinals(self, where: str) -> Any:
        """Ordinals of the people that fulfil a condition, found by a scan."""
        session = self.session
        with session.reading(everything=True):
            state = session.database.tables[session.table("people").id]
            from proxy.execute.view import TableView

            view = TableView(state)
            order, (ids,) = view.fetch(view.live(), [1])
            wanted = {row[0] for row in rows(session, f"SELECT id FROM people WHERE {where}")}
            chosen = [place for place, one in enumerate(ids.to_pylist()) if one in wanted]
        return order[chosen]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """Settled, removed and pending rows under det, ore and ope indexes."""
    world = World(tmp_path_factory.mktemp("shown"))
    session = world.session()
    session.execute(
        "CREATE TABLE people (id BIGINT PRIMARY KEY, zip TEXT, age INT, score DOUBLE, born DATE NOT NULL, "
        "kind SMALLINT NOT NULL)"
    )
    session.execute("CREATE TABLE visits (id BIGINT PRIMARY KEY, person BIGINT)")
    for index in (
        f"people USING det (zip) WITH ({ACCEPT})",
        f"people USING ope (age) WITH ({ACCEPT})",
        f"people USING ore (score) WITH ({ACCEPT})",
        f"people USING ope (born) WITH ({ACCEPT})",
        f"people USING det (kind) WITH ({ACCEPT})",
        f"people USING det (id) WITH ({ACCEPT}, join_group = p)",
        f"visits USING det (person) WITH ({ACCEPT}, join_group = p)",
    ):
        session.execute(f"CREATE INDEX ON {index}")
    made = [
        f"({n}, {'NULL' if n % 9 == 8 else repr(f'z{n % 5}')}, {'NULL' if n % 7 == 6 else n % 40}, "
        f"{n % 11}, '20{n % 90 + 10}-01-01', {n % 3})"
        for n in range(60)
    ]
    session.execute(f"INSERT INTO people VALUES {', '.join(made[:45])}")
    session.execute(
        "INSERT INTO visits VALUES " + ", ".join(f"({n}, {n % 30})" for n in range(250))
    )
    session.execute("VACUUM")
    made_shown = Shown(world, session, {}, 0)
    (made_shown.dead,) = made_shown.labels("id = 1")
    session.execute("DELETE FROM people WHERE id IN (1, 2)")
    session.execute(f"INSERT INTO people VALUES {', '.join(made[45:])}")
    made_shown.answers = {text: rows(session, text) for text in QUESTIONS}
    yield made_shown
    world.close()


def told(shown: Shown, kind: type, change: Callable[[Any], Any], text: str) -> Rows | None:
    """The answer to a question when all answers to some messages are changed; None for an integrity error."""
    session = shown.world.session()
    liar(session).lies[kind] = lambda request, honest: change(honest(request))
    found = None
    with suppress(TamperError):
        found = rows(session, text)
    assert liar(session).asked(kind), "the lie was not told"
    return found


def ids(*more: int) -> Callable[[wire.Ids], wire.Ids]:
    """Further rows in an answer."""
    return lambda answer: forge(answer, ids=(*answer.ids, *more))


@pytest.mark.parametrize("text", [FILTER, RANGE, ORDERED, BORN])
def test_rows_that_are_not_there(shown: Shown, text: str):
    for label in (shown.dead, 4_095 << 12, -1, HUGE, True, 1.0, None, b"1"):
        assert told(shown, wire.ReadVisible, ids(label), text) is None


@pytest.mark.parametrize("text", [FILTER, RANGE, ORDERED, BORN])
def test_rows_that_are_named_twice(shown: Shown, text: str):
    def twice(answer: wire.Ids) -> wire.Ids:
        return forge(answer, ids=(*answer.ids, answer.ids[0]))

    assert told(shown, wire.ReadVisible, twice, text) is None


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (FILTER, "zip = 'z2'"),
        (FILTER, "zip IS NULL"),
        (RANGE, "score > 5"),
        (ORDERED, "age IS NULL"),
    ],
)
def test_rows_that_do_not_fulfil_the_condition(shown: Shown, text: str, where: str):
    for label in shown.labels(where)[:3]:
        assert told(shown, wire.ReadVisible, ids(label), text) is None


def groups(change: Callable[[list[tuple[Any, ...]]], Any]) -> Callable[[wire.Groups], wire.Groups]:
    """The answer with its groups changed."""
    return lambda answer: forge(answer, groups=tuple(change(list(answer.groups))))


def swapped(listed: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Two groups with each other's rows."""
    (tag, count, label), (other, more, row), *rest = listed
    return [(tag, count, row), (other, more, label), *rest]


@pytest.mark.parametrize("text", [GROUPS, YOUNG])
@pytest.mark.parametrize(
    "change",
    [
        swapped,
        lambda listed: [*listed, listed[0]],
        lambda listed: [(listed[0][0], 0, listed[0][2]), *listed[1:]],
        lambda listed: [(listed[0][0], -1, listed[0][2]), *listed[1:]],
        lambda listed: [(listed[0][0], 10_000, listed[0][2]), *listed[1:]],
        lambda listed: [(listed[0][0], HUGE, listed[0][2]), *listed[1:]],
        lambda listed: [(bytes(16), 1, listed[0][2]), *listed[1:]],
        lambda listed: [(b"", *listed[0][1:]), *listed[1:]],
        lambda listed: [(listed[0][0], 1, 4_095 << 12), *listed[1:]],
        lambda listed: [(listed[0][0], 1, HUGE), *listed[1:]],
        lambda listed: [(listed[0][0], True, listed[0][2]), *listed[1:]],
        lambda listed: [listed[0][:2], *listed[1:]],
        lambda listed: [None, *listed[1:]],
    ],
)  # fmt: skip
def test_groups_that_are_not_there(shown: Shown, text: str, change: Callable[[Any], Any]):
    assert told(shown, wire.ReadGroups, groups(change), text) is None


def test_a_group_whose_row_does_not_fulfil_the_condition(shown: Shown):
    labels = iter(shown.labels("zip = 'z3' AND age > 20"))
    (tag,) = [
        value for value, _, label in _honest_groups(shown) if label in shown.labels("zip = 'z3'")
    ]

    def change(listed: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        return [(*one[:2], next(labels)) if one[0] == tag else one for one in listed]

    assert told(shown, wire.ReadGroups, groups(change), YOUNG) is None


def _honest_groups(shown: Shown) -> tuple[tuple[bytes, int, int], ...]:
    session = shown.world.session()
    rows(session, GROUPS)
    (answer,) = [given for asked, given in liar(session).log if type(asked) is wire.ReadGroups]
    found: tuple[tuple[bytes, int, int], ...] = answer.groups
    return found


def test_partners_that_are_not_there(shown: Shown):
    for label in (shown.dead, 4_095 << 12, -1, HUGE, True, None):
        for side in ("left", "right"):

            def change(answer: wire.Joined, side: str = side, label: Any = label) -> wire.Joined:
                return forge(answer, **{side: (*getattr(answer, side), label)})

            assert told(shown, wire.ReadJoin, change, JOINED) is None


def test_partners_that_have_none_change_no_answer(shown: Shown):
    everyone = shown.labels("zip = 'z1'")
    found = told(shown, wire.ReadJoin, lambda one: forge(one, left=tuple(everyone)), JOINED)
    assert found == shown.answers[JOINED]


@pytest.mark.parametrize("kind", READS)
def test_answers_of_any_shape(shown: Shown, kind: type):
    text = {wire.ReadVisible: FILTER, wire.ReadGroups: GROUPS, wire.ReadJoin: JOINED}[kind]
    answers: list[Any] = [
        None, 7, (), wire.Blobs(1, (), ()), wire.Staged(), wire.Ids(1, ()), wire.Groups(1, ()), wire.Joined((), ()),
        forge(wire.Ids(1, ()), ids=[1]), forge(wire.Groups(1, ()), groups={}), forge(wire.Joined((), ()), left="ab"),
    ]  # fmt: skip
    for answer in answers:
        session = shown.world.session()
        liar(session).lies[kind] = lambda _, __, answer=answer: answer
        with suppress(TamperError):
            found = rows(session, text)
            # Nothing found is an answer of the right shape: see the last tests.
            assert type(answer).__name__ == ANSWERS[kind]
            assert set(found) <= {*shown.answers[text], (None, 58)}


@pytest.mark.parametrize("text", [BORN, KINDS, "SELECT max(born) FROM people"])
def test_rows_left_out_where_every_row_has_a_value_are_missed_by_number(shown: Shown, text: str):
    kind = wire.ReadGroups if text == KINDS else wire.ReadVisible
    field = "groups" if text == KINDS else "ids"
    assert (
        told(shown, kind, lambda one: forge(one, **{field: getattr(one, field)[1:]}), text) is None
    )


@pytest.mark.parametrize(
    ("text", "kind", "field"),
    [
        (FILTER, wire.ReadVisible, "ids"),
        (RANGE, wire.ReadVisible, "ids"),
        (GROUPS, wire.ReadGroups, "groups"),
        (YOUNG, wire.ReadGroups, "groups"),
        (JOINED, wire.ReadJoin, "right"),
    ],
)
def test_what_is_left_out_is_not_noticed_otherwise(shown: Shown, text: str, kind: type, field: str):
    """Completeness is the store's word alone, as the documents say."""
    found = told(shown, kind, lambda one: forge(one, **{field: getattr(one, field)[:-1]}), text)
    assert found is not None
    assert found != shown.answers[text]


def test_first_rows_are_first_by_the_stores_word(shown: Shown):
    (first,), (later,) = shown.labels("id = 0"), shown.labels("id = 4")

    def change(answer: wire.Ids) -> wire.Ids:
        return forge(answer, ids=tuple(sorted({*answer.ids, later} - {first})))

    found = told(shown, wire.ReadVisible, change, ORDERED)
    assert found is not None
    assert found != shown.answers[ORDERED]
    # With fewer rows than it was asked for, it would have to be believed that the others are NULL: all are read.
    fewer = told(shown, wire.ReadVisible, lambda one: forge(one, ids=one.ids[:3]), ORDERED)
    assert fewer == shown.answers[ORDERED]


def test_counts_are_by_the_stores_word(shown: Shown):
    def more(listed: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        return [(listed[0][0], listed[0][1] + 1, listed[0][2]), *listed[1:]]

    found = told(shown, wire.ReadGroups, groups(more), GROUPS)
    assert found is not None
    assert sum(count for _, count in found) == 58
    assert found != shown.answers[GROUPS]


def test_what_the_store_keeps_is_checked(store_kind: StoreKind, tmp_path: Path):
    """An entry moved, changed, invented or taken away is found, although each answer was honest."""
    world = World(tmp_path, store_kind)
    try:
        session = world.session()
        session.execute("CREATE TABLE people (id BIGINT PRIMARY KEY, zip TEXT)")
        session.execute(f"CREATE INDEX ON people USING det (zip) WITH ({ACCEPT})")
        session.execute("INSERT INTO people VALUES (1, 'a'), (2, 'b'), (3, NULL)")
        assert check(world.session()).problems == []
        with world.kind.raw(world.url) as raw:
            (name,) = [one for one in raw.names() if one.startswith("visible")]
            relation = raw.relation(name)
            one, other = relation.rows
            values = [relation.values(relation.rows[key])["value"] for key in (one, other)]
            raw.change(relation, one, "value", values[1])
            raw.change(relation, other, "value", values[0])
        assert "server-visible" in check(world.session()).problems[0]
        for text in (
            "SELECT id FROM people WHERE zip = 'a'",
            "SELECT zip, count(*) FROM people GROUP BY zip",
        ):
            with pytest.raises(TamperError):
                rows(world.session(), text)
    finally:
        world.close()


def test_the_store_tells_the_truth_when_it_does_not_lie(shown: Shown):
    for kind in READS:
        for text in QUESTIONS:
            session = shown.world.session()
            liar(session).lies[kind] = lambda request, honest: honest(request)
            assert rows(session, text) == shown.answers[text]
