"""The benchmarks' own parts: a peer that answers wrongly or data that vary would prove nothing."""

from __future__ import annotations

import random
import sqlite3
from collections import defaultdict
from pathlib import Path

from tests.benchmarks import data
from tests.benchmarks.measure import Figure, Report, median_seconds
from tests.benchmarks.textbook import TextbookIndex


def test_textbook_index_finds_what_was_added(tmp_path: Path) -> None:
    draw, model = random.Random(1), defaultdict(list)
    index = TextbookIndex(tmp_path / "t.db", bytes(32))
    for _ in range(3):
        batch = [(b"%d" % draw.randrange(20), draw.getrandbits(63)) for _ in range(200)]
        for term, number in batch:
            model[term].append(number)
        index.add(batch)
    for term in (*model, b"absent"):
        assert index.search(term) == model[term]
    index.close()


def test_textbook_index_is_encrypted(tmp_path: Path) -> None:
    index = TextbookIndex(tmp_path / "t.db", bytes(32))
    index.add([(b"same term", 7), (b"same term", 7)])
    index.close()
    rows = sqlite3.connect(tmp_path / "t.db").execute("SELECT * FROM labels").fetchall()
    assert len({label for label, _ in rows}) == len({value for _, value in rows}) == 2


def test_data_are_the_same_in_every_run() -> None:
    first, later = list(data.rows(5)), list(data.rows(3, first=3))
    assert first[2:] == later
    assert first == list(data.rows(5))
    assert len(set(data.WORD_LIST)) == data.WORDS


def test_figures() -> None:
    speed = Figure("s", "speed", 10, "rows/s", 50.0, "peer", 100.0, more_is_better=True)
    cost = Figure("s", "cost", 10, "ms", 50.0, "peer", 100.0, bar="at most 1x", met=True)
    alone = Figure("s", "alone", 10, "ms", 5.0)
    assert (speed.ratio, cost.ratio, alone.ratio) == (0.5, 2.0, None)
    report = Report([speed, cost, alone])
    assert "2.00x less" in report.text()
    assert "at most 1x: met" in report.text()


def test_median_leaves_out_the_first_call() -> None:
    calls: list[int] = []
    median_seconds(calls.append, range(5))
    assert calls == [0, 1, 2, 3, 4]
