"""Reads that do not depend on each other share a round trip, and give what they give one by one."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from encdb import wire
from indexes.errors import IntegrityFailure
from proxy.reading import Channel
from tests.fixtures.databases import rows


class Snapshot:
    """Answers reads of packs, and counts the round trips."""

    def __init__(self) -> None:
        self.trips: list[int] = []

    def read(self, request: wire.ReadPacks) -> wire.Blobs:
        self.trips.append(1)
        return self._answer(request)

    def read_all(self, requests: Any) -> tuple[wire.Blobs, ...]:
        self.trips.append(len(requests))
        return tuple(map(self._answer, requests))

    def _answer(self, request: wire.ReadPacks) -> wire.Blobs:
        return wire.Blobs(request.table, request.ids, tuple(b"%d" % one for one in request.ids))


@pytest.fixture
def channel() -> Channel:
    made = Channel()
    made.snapshot = Snapshot()  # type: ignore[assignment]
    return made


def chain(channel: Channel, start: int, length: int) -> list[int]:
    """Dependent reads: each asks for the number that the one before has answered, plus one."""
    found = [start]
    for _ in range(length):
        ((_, blob),) = channel.packs(7, [found[-1] + 1])
        found.append(int(blob))
    return found


def test_one_round_trip_for_each_dependent_stage(channel: Channel):
    tasks = [partial(chain, channel, 10, 3), partial(chain, channel, 20, 1), lambda: [5]]
    assert channel.together(tasks) == [[10, 11, 12, 13], [20, 21], [5]]
    assert channel.snapshot.trips == [2, 1, 1]
    assert channel.counters.round_trips == 3


def test_tasks_may_be_made_of_tasks(channel: Channel):
    def outer(start: int) -> list[list[int]]:
        first = chain(channel, start, 1)
        return [first, *channel.together([partial(chain, channel, start + n, 2) for n in (3, 6)])]

    found = channel.together([partial(outer, 100), partial(outer, 200)])
    assert found[1] == [[200, 201], [203, 204, 205], [206, 207, 208]]
    assert channel.snapshot.trips == [2, 4, 4]


def test_two_tasks_that_want_the_same_ask_once(channel: Channel):
    found = channel.together([partial(chain, channel, 1, 2)] * 3)
    assert found == [[1, 2, 3]] * 3
    assert channel.snapshot.trips == [1, 1]


def test_a_single_task_and_none_are_run_as_they_are(channel: Channel):
    assert channel.together([]) == []
    assert channel.together([partial(chain, channel, 1, 1)]) == [[1, 2]]


def test_a_failure_ends_all_and_leaves_nothing_behind(channel: Channel):
    def fail() -> list[int]:
        chain(channel, 50, 1)
        raise IntegrityFailure

    with pytest.raises(IntegrityFailure):
        channel.together([partial(chain, channel, 10, 3), fail])
    assert channel.together([partial(chain, channel, 10, 1)]) == [[10, 11]]


def test_a_store_that_answers_fewer_requests_is_caught(channel: Channel):
    channel.snapshot.read_all = lambda requests: (channel.snapshot._answer(requests[0]),)
    with pytest.raises(IntegrityFailure):
        channel.together([partial(chain, channel, 1, 1), partial(chain, channel, 2, 1)])


@pytest.mark.every_store
def test_segments_are_read_together(connection: Any):
    connection.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT)")
    connection.execute("CREATE INDEX ON t USING range (n)")
    connection.execute("CREATE INDEX ON t USING equality (n)")
    number = connection.session.table("t").id
    for part in range(3):
        connection.executemany(
            "INSERT INTO t VALUES (?, ?)", [(part * 1000 + i, i % 50) for i in range(500)]
        )
        connection.session.maintenance.fold(number)
    connection.execute("INSERT INTO t VALUES (100000, 7)")
    expected = [(part * 1000 + i,) for part in range(3) for i in range(7, 500, 50)] + [(100000,)]
    for condition in ("n = 7", "n >= 7 AND n < 8"):
        connection.session.database.channel.counters.round_trips = 0
        assert rows(connection, f"SELECT id FROM t WHERE {condition} ORDER BY id") == expected
        # At most: header, pages, long lists; liveness twice; rows.
        assert connection.session.database.channel.counters.round_trips <= 6
