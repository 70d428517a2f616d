"""Prefixes, wildcards and misspelt words by the dictionary of a keyword index, whatever was done to the rows.

The model knows every row in clear: it splits texts at blanks, and compares words by `fnmatch` and by an edit distance
of its own.
"""

from __future__ import annotations

import fnmatch
import random
import re
from functools import cache

import pytest

import encdb
from encdb.errors import TamperError
from indexes.methods import dictionary
from indexes.multimap.segment import dictionary_id
from proxy import compaction, documents
from proxy.check import check
from proxy.reading import ByteCache
from proxy.search import plain
from proxy.search.analysis import analyser
from proxy.search.collection import COLUMNS, KEYWORD_COLUMNS
from proxy.search.query import parse
from tests.fixtures.databases import Database, check_ok, refused, rows

PLAIN = "language = 'none'"
WORDS = (
    "kern", "kernel", "kernels", "kernal", "kenrel", "corn", "colonel", "internationalisation",
    "internationalisierung", "straße", "café", "naïve", "über", "2fast", "linux", "linus", "हिन्दी",
    "\U0001d54f\U0001d550ab",
)  # fmt: skip
PATTERNS = (
    "kern*", "k?rn*l", "*nel", "kernal~1", "kernal~2", "INTERNATIONALISI*", "internationalisa?ion", "stra*e",
    "caf?", "caf?*", "cafe\u0301~1", "*fé", "?a?ve", "lin?x", "linxu~", "über*", "2f*", "हिन्*", "xyab~1", "nothing*", "??rn", "c*l*n*l", "?*rn",
)  # fmt: skip


def edits(one: str, two: str) -> int:
    """Optimal string alignment, from its definition."""

    @cache
    def between(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        found = [
            between(i - 1, j) + 1,
            between(i, j - 1) + 1,
            between(i - 1, j - 1) + (one[i - 1] != two[j - 1]),
        ]
        if i > 1 and j > 1 and one[i - 1] == two[j - 2] and one[i - 2] == two[j - 1]:
            found.append(between(i - 2, j - 2) + 1)
        return min(found)

    return between(len(one), len(two))


def terms(text: str | None) -> set[str]:
    return {analyser("none")(word)[0] for word in (text or "").split()}


def model(query: str, text: str | None) -> bool:
    """Whether a text matches a query: one pattern, perhaps negated, and perhaps with a word beside it."""
    pattern, *more = query.split()
    there = terms(text)
    negated, pattern = pattern.startswith("-"), pattern.removeprefix("-")
    if "~" in pattern:
        word, _, most = pattern.partition("~")
        (word,) = terms(word)
        found = any(edits(word, one) <= int(most or 1) for one in there)
    else:
        shape = pattern if pattern.endswith("*") else pattern.rstrip("?")
        shape = "".join(
            part if part in "*?" else analyser("none")(part)[0]
            for part in re.split(r"([*?])", shape)
            if part
        )
        found = any(fnmatch.fnmatchcase(one, shape) for one in there)
    return found is not negated and all(set(analyser("none")(one)) <= there for one in more)


def found(connection, table: str, query: str) -> list[int]:
    answer = rows(connection, f"SELECT id FROM {table} WHERE body @@ ? ORDER BY id", (query,))
    return [number for (number,) in answer]


def draw_text(pick: random.Random) -> str | None:
    return None if pick.random() < 0.05 else " ".join(pick.choices(WORDS, k=pick.randrange(5)))


class History:
    """Two tables with the same rows, one with a dictionary and one without, and their rows in clear."""

    def __init__(self, database: Database, seed: int) -> None:
        self.pick = random.Random(seed)
        self.texts: dict[int, str | None] = {}
        self.number = 0
        self.database = database
        self.clients = [database.connect(), database.connect()]
        for table, option in (("t", "true"), ("u", "false")):
            self.clients[0].execute(f"CREATE TABLE {table} (id INT PRIMARY KEY, body TEXT)")
            self.clients[0].execute(
                f"CREATE INDEX ON {table} USING keyword (body) WITH ({PLAIN}, dictionary = {option})"
            )

    def change(self, client) -> None:
        pick = self.pick
        kind = pick.choice(["insert"] * 3 + ["update", "delete"])
        if kind == "insert" or not self.texts:
            count = pick.randrange(1, 6)
            made = [(self.number + n, draw_text(pick)) for n in range(count)]
            self.number += count
            self.texts.update(made)
            for table in "tu":
                client.executemany(f"INSERT INTO {table} VALUES (?, ?)", made)
            return
        victim = pick.choice(sorted(self.texts))
        if kind == "delete":
            del self.texts[victim]
            for table in "tu":
                client.execute(f"DELETE FROM {table} WHERE id = ?", (victim,))
            return
        self.texts[victim] = draw_text(pick)
        for table in "tu":
            client.execute(
                f"UPDATE {table} SET body = ? WHERE id = ?", (self.texts[victim], victim)
            )

    def compare(self, client, query: str) -> None:
        known = {number: text for number, text in sorted(self.texts.items()) if text is not None}
        wanted = [number for number, text in known.items() if model(query, text)]
        for table in "tu":
            assert found(client, table, query) == wanted, (query, table, self.texts)

    def step(self) -> None:
        pick, client = self.pick, self.pick.choice(self.clients)
        before = dict(self.texts)
        end = pick.choice(["", "", "COMMIT", "ROLLBACK"])
        if end:
            client.execute("BEGIN")
        for _ in range(pick.randrange(1, 4)):
            self.change(client)
        one, two, three = pick.sample(PATTERNS, 3)
        for query in (one, two, three, f"-{one}", f"{two} kernel", f"-{three} linux"):
            self.compare(client, query)
        if end:
            client.execute(end)
        if end == "ROLLBACK":
            self.texts = before
        if pick.random() < 0.2:
            client.execute(pick.choice(["VACUUM", "VACUUM t"]))
        if pick.random() < 0.1:
            self.clients.pop().close()
            self.clients.append(self.database.connect())


@pytest.mark.every_store
@pytest.mark.sampled(2)
@pytest.mark.parametrize("seed", range(2))
def test_histories(database: Database, seed):
    history = History(database, seed)
    for _ in range(16):
        history.step()
    for client in history.clients:
        for query in PATTERNS:
            history.compare(client, query)
        check_ok(client)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 130))
def test_many_histories(database: Database, seed, monkeypatch):
    monkeypatch.setattr(compaction, "PENDING_DELTAS", 4)
    history = History(database, seed)
    for _ in range(60):
        history.step()
    check_ok(history.clients[0])


LETTERS = (
    ("Kernel drivers", "The kernal is running, and linux kernels run."),
    ("Gardening", "Corn, and a colonel of the Kernel regiment runs."),
    ("Runners", "running runner runs"),
    ("Empty", ""),
    ("Linus", "linux linus Linux kern"),
)


@pytest.mark.parametrize("option", ["true", "false"])
def test_ranking_is_that_of_a_plain_scan(connection, option):
    columns = ", ".join(f"{name} {kind.sql}" for name, kind, _ in COLUMNS)
    connection.execute(f"CREATE TABLE mail ({columns})")
    fields = ", ".join(KEYWORD_COLUMNS)
    connection.execute(
        f"CREATE INDEX ON mail USING keyword ({fields}) WITH (dictionary = {option})"
    )
    insert = "INSERT INTO mail (id, path, title, body, size, digest) VALUES (?, ?, ?, ?, 1, 'none')"
    for number, (title, body) in enumerate(LETTERS, start=10):
        connection.execute(insert, (number, f"p{number}", title, body))
        if number == 12:
            connection.execute("VACUUM")
    connection.execute("DELETE FROM mail WHERE id = 11")
    connection.execute("UPDATE mail SET body = 'a kernell' WHERE id = 13")
    analyse = analyser()
    kept = rows(connection, f"SELECT path, {fields} FROM mail ORDER BY id")
    scanned = [(n, analyse.many(row[1:])) for n, row in enumerate(kept)]
    for text in (
        "kern*",
        "kernal~1",
        "k*l linux",
        "running*",
        "runn*",
        "*nel -linux",
        "kern* OR run",
        "kernell~2 lin?x",
    ):
        expected = [
            (kept[n][0], pytest.approx(score))
            for n, score in plain.search_plain(parse(text, analyse), scanned, 5)
        ]
        hits = documents.search(connection.session, text, "mail")
        assert [(one.path, one.score) for one in hits] == expected, text
        assert hits, text


def test_a_stemmed_index(connection):
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY, body TEXT)")
    connection.execute("CREATE INDEX ON t USING keyword (body)")
    for number, text in enumerate(["running", "runs", "runway", "libraries", "organizations"]):
        connection.execute("INSERT INTO t VALUES (?, ?)", (number, text))
    assert found(connection, "t", "running*") == [0, 1]
    assert found(connection, "t", "runnin*") == []
    assert found(connection, "t", "run*") == [0, 1, 2]
    assert found(connection, "t", "libraries*") == [3]
    assert found(connection, "t", "libarries~1") == [3]
    assert found(connection, "t", "organ*") == [4]


DICTIONARY = dictionary_id(2)
"""Where the terms of the keyword index lie: the primary key has number 1."""


def state_of(connection):
    """The state of the only table."""
    (state,) = connection.session.database.tables.values()
    return state


def pages(connection, query: str) -> int:
    """Index pages that a query reads."""
    counters = state_of(connection).channel.counters
    before = counters.pages
    found(connection, "t", query)
    return counters.pages - before


@pytest.fixture
def wide(database: Database):
    """More terms than fit a segment that is read whole, settled; and a few in a delta."""
    connection = database.connect()
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY, body TEXT)")
    connection.execute(f"CREATE INDEX w ON t USING keyword (body) WITH ({PLAIN})")
    made = [(n, " ".join(f"word{100 * n + one:06d}" for one in range(100))) for n in range(160)]
    connection.executemany("INSERT INTO t VALUES (?, ?)", made)
    connection.execute("VACUUM")
    connection.execute("INSERT INTO t VALUES (1000, 'word000100 wordless')")
    return connection


def test_a_prefix_reads_a_part_and_other_patterns_everything_once(wide, database):
    assert found(wide, "t", "word0001*") == [1, 1000]
    assert found(wide, "t", "wordl*") == [1000]
    (reader,) = state_of(wide).segments.sorted(DICTIONARY)
    whole = reader.data_bytes // 4_016
    assert whole > 32
    other = database.connect()
    rows(other, "SELECT count(*) FROM t")
    assert 0 < pages(other, "nothing*") < whole / 2
    assert 0 < pages(other, "wordx*") < whole / 2
    assert pages(other, "wordx*") == 0
    fresh = database.connect()
    rows(fresh, "SELECT count(*) FROM t")
    assert pages(fresh, "nothing* OR *nothing") > whole
    # Terms are in memory; a prefix also has the word itself looked up.
    assert pages(fresh, "noth?ng OR absurd~2 OR *wordx") == 0
    assert pages(fresh, "absent*") <= 1


def test_without_room_terms_are_read_in_pieces_each_time(wide):
    state = state_of(wide)
    (reader,) = state.segments.sorted(DICTIONARY)
    state.terms = ByteCache(0)
    assert found(wide, "t", "*0001?1") == [1]
    assert found(wide, "t", "wrod000100~1") == [1, 1000]
    assert state.terms.get(reader.salt) is None


def test_a_pattern_for_too_many_terms_is_refused(wide):
    for query in ("word0*", "*rd0*", "-word0*"):
        assert "more than 1,024" in str(refused("E_MATCH_TOO_MANY", found, wide, "t", query))
    assert found(wide, "t", "word0000* OR word0001*") == [0, 1, 1000]
    many = " OR ".join(f"w{number}*" for number in range(10, 75))
    assert "65 patterns" in str(refused("E_MATCH_TOO_MANY", found, wide, "t", many))


def test_a_transaction_has_each_term_once(connection):
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY, body TEXT)")
    connection.execute(f"CREATE INDEX ON t USING keyword (body) WITH ({PLAIN})")
    connection.execute("BEGIN")
    for number in range(5):
        connection.execute("INSERT INTO t VALUES (?, 'again and again')", (number,))
    assert found(connection, "t", "ag*") == [0, 1, 2, 3, 4]
    connection.execute("COMMIT")
    rows(connection, "SELECT count(*) FROM t")
    entries = state_of(connection).recent_index.entries(dictionary_id(2))
    assert dictionary.terms_of(entries).to_pylist() == ["again", "and"]


def test_check_misses_a_term(connection, monkeypatch):
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY, body TEXT)")
    connection.execute(f"CREATE INDEX ON t USING keyword (body) WITH ({PLAIN})")
    real = dictionary.entries
    connection.execute("INSERT INTO t VALUES (1, 'gone'), (2, 'kept')")
    connection.execute("DELETE FROM t WHERE id = 1")
    check_ok(connection)
    monkeypatch.setattr(dictionary, "entries", lambda listed: real(sorted(listed)[1:]))
    connection.execute("INSERT INTO t VALUES (3, 'alpha beta')")
    connection.execute("VACUUM")
    monkeypatch.undo()
    assert found(connection, "t", "alph*") == []
    (problem,) = check(connection.session).problems
    assert "lacks a term" in problem


def test_a_withheld_page_is_noticed(wide, database):
    (info,) = [one for one in state_of(wide).manifest.segments if one.index == DICTIONARY]
    database.close()
    with database.kind.raw(database.url) as raw:
        for relation in raw.relations().values():
            if relation.name.startswith("pages"):
                for key in relation.rows:
                    if key[-1] >> 32 == info.segment and key[-1] & 0xFFFF_FFFF:
                        raw.delete(relation, key)
    connection = database.connect()
    for query in ("word0001*", "*nothing"):
        with pytest.raises(TamperError):
            found(connection, "t", query)
    assert found(connection, "t", "word000100") == [1, 1000]


def test_what_explain_says(connection):
    for table, options in (("t", PLAIN), ("u", f"{PLAIN}, dictionary = false")):
        connection.execute(f"CREATE TABLE {table} (id INT PRIMARY KEY, body TEXT)")
        connection.execute(
            f"CREATE INDEX {table}_i ON {table} USING keyword (body) WITH ({options})"
        )

    def plan(table: str, query: str) -> str:
        sql = f"EXPLAIN SELECT id FROM {table} WHERE body @@ '{query}'"
        return "\n".join(line for (line,) in rows(connection, sql))

    assert "indexes: t_i (keyword)" in plan("t", "kern*")
    assert "at most 9 more for what is not cached\n" in plan("t", "kern*")
    assert "and one for each MiB of a dictionary that a pattern reads whole" in plan("t", "*nel")
    assert "indexes: u_i (keyword)" in plan("u", "kernel")
    assert "indexes: none that serves it" in plan("u", "kern*")
    assert "u_i (keyword) cannot serve body @@ 'kern*': it keeps no dictionary" in plan(
        "u", "kern*"
    )
    assert "cannot serve" not in plan("t", "kern*") + plan("u", "kernel")


HOSTILE = (
    "*", "**", "?", "???", "a*", "?a", "a~", "a~1", "ab~9", "ab~", "ab~99999999999999999999", "a" * 200 + "*",
    ".*", "[a-z]*", "(a|b)*", "a.*b", "^ab*$", "\\w*", "ab\\*", "a\u0301*", "\u0301*", "?\u0301b*", "\ud800*",
    "ab\ud800*", "*~1", "kern*~1", "'*", "%", "ab%*", "__*", "a_b*", "x*" * 60, "*?" * 30 + "ab", "\u200d*",
    "\uff41\uff42*", "ab\uff0a", "½½*", "\0*", "ab\0*", "İİ*", "ŉŉ*", "ab\u00ad*", "?b" * 60, "~" * 500, "ab*" * 5_000,
)  # fmt: skip


def test_hostile_patterns_are_served_or_refused(connection):
    for table, option in (("t", "true"), ("u", "false")):
        connection.execute(f"CREATE TABLE {table} (id INT PRIMARY KEY, body TEXT)")
        connection.execute(
            f"CREATE INDEX ON {table} USING keyword (body) WITH ({PLAIN}, dictionary = {option})"
        )
        connection.execute(f"INSERT INTO {table} VALUES (1, 'abc'), (2, 'áb i̇i̇x \u02bcn\u02bcny')")

    def answer(table: str, query: str) -> list[int] | str:
        try:
            return found(connection, table, query)
        except encdb.ProgrammingError as error:
            return error.code

    answers = {query: answer("t", query) for query in HOSTILE}
    assert answers == {query: answer("u", query) for query in HOSTILE}
    assert {one for one in answers.values() if isinstance(one, str)} == {"E_MATCH_QUERY"}
    assert answers["\uff41\uff42*"] == answers["ab\u00ad*"] == [1]
    assert answers["İİ*"] == answers["ŉŉ*"] == [2]
    for query in ("*", "a*", "a.*b", "a_b*", "kern*~1"):
        assert answers[query] == "E_MATCH_QUERY", query
