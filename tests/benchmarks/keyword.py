"""Keyword search, beside SQLite's FTS5 and Whoosh over the same notes with stemming on all sides."""

from __future__ import annotations

from tests.benchmarks import data, peers
from tests.benchmarks.measure import Figure, Report, median_seconds, stopwatch
from tests.benchmarks.tables import Pair

SECTION = "Keyword search, beside plaintext engines"
FTS_BAR = 3.0

QUERIES = {
    "rare word": data.word(9000),
    "common word": data.word(40),
    "two common words": f"{data.word(40)} AND {data.word(60)}",
    "one but not another": f"{data.word(40)} AND NOT {data.word(0)}",
}
FTS_QUERIES = QUERIES | {"one but not another": f"{data.word(40)} NOT {data.word(0)}"}


def run(report: Report, pair: Pair, *, whoosh: bool) -> None:
    """Build the three indexes and put the same queries to them."""
    count = pair.count
    postings = sum(len(set(row[7].split())) for row in data.rows(count))
    with stopwatch() as ours:
        pair.connection.execute("CREATE INDEX ON people USING keyword (notes)")
    with stopwatch() as fts:
        pair.plain.index_notes()
    for what, scale in (("build, in notes", count), ("build, in postings", postings)):
        unit = "notes/s" if scale == count else "postings/s"
        report.add(
            Figure(
                SECTION,
                what,
                count,
                unit,
                scale / ours.seconds,
                "FTS5",
                scale / fts.seconds,
                more_is_better=True,
            )
        )
    other = peers.Whoosh(pair.folder / "whoosh") if whoosh else None
    if other is not None:
        with stopwatch() as built:
            other.load((row[0], row[7]) for row in data.rows(count))
        report.add(
            Figure(
                SECTION,
                "build, in notes",
                count,
                "notes/s",
                count / ours.seconds,
                "Whoosh",
                count / built.seconds,
                more_is_better=True,
            )
        )
    for name, query in QUERIES.items():
        _query(report, pair, other, name, query)
    if other is not None:
        other.close()


def _query(report: Report, pair: Pair, other: peers.Whoosh | None, name: str, query: str) -> None:
    """Ids of all matching notes; and against Whoosh, which has no such mode, of the best ten."""
    sql = "SELECT id FROM people WHERE notes @@ ?"
    fts_sql = "SELECT rowid FROM people_notes WHERE people_notes MATCH ?"
    fts_query = FTS_QUERIES[name]
    found = len(pair.query(sql, (query,)))
    expected = len(pair.plain.query(fts_sql, (fts_query,)))
    assert found == expected, f"{query}: {found} notes, but FTS5 has {expected}"
    ours = median_seconds(lambda q: pair.query(sql, (q,)), [query] * 12)
    fts = median_seconds(lambda q: pair.plain.query(fts_sql, (q,)), [fts_query] * 12)
    report.add(
        Figure(
            SECTION,
            f"ids of a {name}" if name.endswith("word") else f"ids of {name}",
            pair.count,
            "ms",
            ours * 1e3,
            f"FTS5, {found:,} found",
            fts * 1e3,
            bar=f"within {FTS_BAR:g}x of FTS5",
            met=ours <= FTS_BAR * fts,
        )
    )
    if other is None:
        return
    peer = median_seconds(other.search, [query] * 12)
    report.add(
        Figure(
            SECTION,
            f"{name}: all ids, against Whoosh's best ten",
            pair.count,
            "ms",
            ours * 1e3,
            "Whoosh",
            peer * 1e3,
            bar="faster than Whoosh",
            met=ours <= peer,
        )
    )
