"""Keyword search, beside SQLite's FTS5 and Whoosh over the same notes with stemming on all sides."""

from __future__ import annotations

from tests.benchmarks import data, peers
from tests.benchmarks.measure import Figure, Report, median_seconds, stopwatch
from tests.benchmarks.tables import Pair

SECTION = "Keyword search, beside plaintext engines"
FTS_BAR = 3.0

REPEATS = 16


def queries() -> dict[str, list[tuple[str, str]]]:
    """By kind: different queries of it, each as encdb and Whoosh write it and as FTS5 does."""
    rare = [data.word(9000 + 31 * n) for n in range(REPEATS)]
    common = [data.word(40 + n) for n in range(REPEATS)]
    others = [data.word(60 + n) for n in range(REPEATS)]
    frequent = data.word(0)
    return {
        "a rare word": [(one, one) for one in rare],
        "a common word": [(one, one) for one in common],
        "two common words": [
            (both, both) for both in (f"{a} AND {b}" for a, b in zip(common, others, strict=True))
        ],
        "one word without another": [
            (f"{one} AND NOT {frequent}", f"{one} NOT {frequent}") for one in common
        ],
    }


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
    for name, wanted in queries().items():
        _query(report, pair, other, name, wanted)
    if other is not None:
        other.close()


def _query(
    report: Report,
    pair: Pair,
    other: peers.Whoosh | None,
    name: str,
    wanted: list[tuple[str, str]],
) -> None:
    """Ids of all matching notes; and against Whoosh, which has no such mode, of the best ten."""
    sql = "SELECT id FROM people WHERE notes @@ ?"
    fts_sql = "SELECT rowid FROM people_notes WHERE people_notes MATCH ?"
    found = 0
    for query, fts_query in wanted[:3]:
        mine = {row[0] for row in pair.query(sql, (query,))}
        theirs = {row[0] for row in pair.plain.query(fts_sql, (fts_query,))}
        assert mine == theirs, f"{query}: {len(mine)} notes, but FTS5 has {len(theirs)}"
        found = max(found, len(mine))
    # Statements are timed with queries that this connection has not sent before.
    fresh = [query for query, _ in wanted[3:]]
    ours = median_seconds(lambda q: pair.query(sql, (q,)), fresh)
    fts = median_seconds(lambda q: pair.plain.query(fts_sql, (q,)), [one for _, one in wanted[3:]])
    report.add(
        Figure(
            SECTION,
            f"ids of {name}",
            pair.count,
            "ms",
            ours * 1e3,
            f"FTS5, up to {found:,} found",
            fts * 1e3,
            bar=f"within {FTS_BAR:g}x of FTS5",
            met=ours <= FTS_BAR * fts,
        )
    )
    if other is None:
        return
    peer = median_seconds(other.search, fresh)
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
