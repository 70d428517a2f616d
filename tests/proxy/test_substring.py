"""Substring indexes find what a plain search of all texts finds, whatever was done to the table."""

from __future__ import annotations

import random
import re

import duckdb
import pytest

import proxy.execute.access
import proxy.execute.folding
from indexes.folding import fold
from proxy.execute.folding import engine_folds_alike
from proxy.execute.probes import substring as probes
from tests.fixtures.databases import Database, check_ok, rows

LETTERS = "aAbBkK\u212aßẞ é😀%_"


def used(connection, sql, parameters=()):
    """What EXPLAIN ANALYZE says was used."""
    lines = [line for (line,) in rows(connection, f"EXPLAIN ANALYZE {sql}", parameters)]
    return [line.split(":")[1].strip() for line in lines if line.strip().startswith("used:")]


def drawn(pick, most=9):
    return "".join(pick.choice(LETTERS) for _ in range(pick.randrange(most)))


def conditions(pick):
    """A condition with its parameters, and what it means for a text."""
    part, other = drawn(pick, 6), drawn(pick, 5)
    literal = re.sub(r"([\\%_])", r"\\\1", part)
    behind = re.sub(r"([\\%_])", r"\\\1", other)
    found = [
        ("body LIKE ?", (f"%{literal}%",), lambda text: part in text),
        ("body LIKE '%' || ? || '%'", (literal,), lambda text: part in text),
        ("body LIKE ?", (f"{literal}%",), lambda text: text.startswith(part)),
        ("body LIKE ?", (f"%{literal}",), lambda text: text.endswith(part)),
        ("body LIKE ?", (literal,), lambda text: text == part),
        ("body ILIKE ?", (f"%{literal}%",), lambda text: fold(part) in fold(text)),
        ("body ILIKE ?", (literal,), lambda text: fold(part) == fold(text)),
        ("lower(body) LIKE ?", (f"%{fold(literal)}%",), lambda text: fold(part) in fold(text)),
        ("lower(body) = lower(?)", (part,), lambda text: fold(part) == fold(text)),
        ("contains(body, ?)", (part,), lambda text: part in text),
        ("starts_with(body, ?)", (part,), lambda text: text.startswith(part)),
        ("ends_with(body, ?)", (part,), lambda text: text.endswith(part)),
        ("strpos(body, ?) > 0", (part,), lambda text: part in text),
        ("body = ?", (part,), lambda text: text == part),
        ("body NOT LIKE ?", (f"%{literal}%",), lambda text: part not in text),
        (
            "body LIKE ?",
            (f"{literal}%{behind}",),
            lambda text: text.startswith(part) and text[len(part) :].endswith(other),
        ),
        (
            "body ILIKE ?",
            (f"%{literal}_{behind}%",),
            lambda text: re.search(
                f"{re.escape(fold(part))}.{re.escape(fold(other))}", fold(text), re.DOTALL
            ),
        ),
    ]  # fmt: skip
    return pick.choice(found)


@pytest.mark.every_store
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 8))]
)
def test_a_history_of_changes_by_two_writers(database: Database, seed):
    pick = random.Random(seed)
    writers = [database.connect(), database.connect()]
    writers[0].execute("CREATE TABLE notes (id INT PRIMARY KEY, body TEXT)")
    writers[0].execute("CREATE INDEX parts ON notes USING substring (body)")
    model: dict[int, str | None] = {}
    for step in range(40):
        writer = pick.choice(writers)
        change = pick.randrange(10)
        if change < 4 or not model:
            new = {
                len(model) + place + 1000 * step: drawn(pick)
                for place in range(pick.randrange(1, 12))
            }
            if pick.randrange(3) == 0:
                new[1000 * step + 999] = None
            writer.executemany("INSERT INTO notes VALUES (?, ?)", list(new.items()))
            model.update(new)
        elif change < 6:
            chosen, text = pick.choice(list(model)), drawn(pick)
            writer.execute("UPDATE notes SET body = ? WHERE id = ?", (text, chosen))
            model[chosen] = text
        elif change < 8:
            chosen = pick.choice(list(model))
            writer.execute("DELETE FROM notes WHERE id = ?", (chosen,))
            del model[chosen]
        elif change == 8:
            writer.execute("VACUUM notes")
        else:
            writers.remove(writer)
            writer.close()
            writers.append(database.connect())
        condition, parameters, holds = conditions(pick)
        reader = pick.choice(writers)
        found = rows(reader, f"SELECT id FROM notes WHERE {condition}", parameters)
        wanted = [(key,) for key, text in model.items() if text is not None and holds(text)]
        assert sorted(found) == sorted(wanted), (condition, parameters)
    check_ok(writers[0])


def test_a_transaction_sees_its_own_texts(database: Database):
    connection, other = database.connect(), database.connect()
    connection.execute("CREATE TABLE notes (id INT PRIMARY KEY, body TEXT)")
    connection.execute("CREATE INDEX parts ON notes USING substring (body)")
    connection.executemany("INSERT INTO notes VALUES (?, ?)", [(n, f"text {n}") for n in range(9)])
    query = "SELECT id FROM notes WHERE body LIKE '%ext 3%'"
    connection.execute("BEGIN")
    connection.execute("UPDATE notes SET body = 'other' WHERE id = 3")
    connection.execute("INSERT INTO notes VALUES (33, 'text 33')")
    assert rows(connection, query) == [(33,)]
    assert rows(other, query) == [(3,)]
    connection.execute("ROLLBACK")
    assert rows(connection, query) == [(3,)]


WORDS = (
    *("archive", "budget", "cellar", "diagnosis", "elevator", "fracture", "glacier", "harvest"),
    *("island", "jacket", "kernel", "lantern", "magnet", "nebula", "orchard", "pepper", "quartz"),
    *("ribbon", "saddle", "tunnel", "umbrella", "velvet", "walnut", "xenon", "yellow", "zipper"),
)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """10⁴ texts in both databases; the index is made of rows that are there, and more follow."""
    pick = random.Random(4)
    texts = [
        None
        if n % 97 == 0
        else f"{' '.join(pick.choices(WORDS, k=pick.randrange(2, 6)))} {n:05d}".capitalize()
        for n in range(10_000)
    ]
    texts[5_000:5_003] = ["Straße zum Quark", "STRASSE", "quark\u212a"]
    made = Database.make(tmp_path_factory.mktemp("many"))
    connection = made.connect()
    connection.execute("CREATE TABLE notes (id INT PRIMARY KEY, body TEXT)")
    listed = list(enumerate(texts))
    connection.executemany("INSERT INTO notes VALUES (?, ?)", listed[:6_000])
    connection.execute("CREATE INDEX parts ON notes USING substring (body)")
    connection.executemany("INSERT INTO notes VALUES (?, ?)", listed[6_000:9_700])
    connection.executemany("INSERT INTO notes VALUES (?, ?)", listed[9_700:])
    connection.execute("DELETE FROM notes WHERE id % 41 = 0")
    with duckdb.connect(":memory:") as plain:
        plain.execute("CREATE TABLE notes (id INT, body VARCHAR)")
        plain.execute("INSERT INTO notes SELECT unnest(?), unnest(?)", [[*range(10_000)], texts])
        plain.execute("DELETE FROM notes WHERE id % 41 = 0")
        yield connection, plain
    made.close()


MANY = [
    ("body LIKE '%glacier%island%'", True),
    ("body LIKE '%quartz ribbon saddle%'", True),
    ("body ILIKE 'XENON%77'", True),
    ("body ILIKE '%GLACIER I%'", True),
    ("contains(body, ' 0123')", True),
    ("body LIKE '%0077_'", True),
    ("body LIKE 'Zi%'", True),
    ("ends_with(body, '99')", True),
    ("strpos(body, 'velvet walnut') > 0 AND body ILIKE '%KERNEL%'", True),
    ("body ILIKE '%quarkk%' OR body LIKE '%Quark'", True),
    ("body ILIKE '%strasse%'", True),
    ("body ILIKE '%straße%'", True),
    ("body ILIKE '%zzz%'", True),
    ("lower(body) LIKE 'nebula%' AND body NOT LIKE '%1%'", True),
    ("NOT (body NOT ILIKE '%orchard%' OR body LIKE '%pepper%')", True),
    ("body LIKE '%9_9'", False),
    ("body LIKE '%a%'", False),
    ("body NOT LIKE '%ar%'", False),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "indexed"), MANY, ids=[one for one, _ in MANY])
def test_ten_thousand_texts(many, condition, indexed):
    connection, plain = many
    sql = f"SELECT id FROM notes WHERE {condition}"
    assert sorted(rows(connection, sql)) == sorted(plain.execute(sql).fetchall())
    if indexed:
        assert used(connection, sql) == ["parts"]


def test_lists_are_read_of_the_three_rarest_trigrams_only(many, monkeypatch):
    connection, _ = many
    asked, read = [], []
    counting, listing = probes.frequencies, probes._lists

    def frequencies(view, words):
        found = counting(view, words)
        asked.append(dict(zip(words.tolist(), found.tolist(), strict=True)))
        return found

    def lists(view, words):
        read.append(words.tolist())
        return listing(view, words)

    monkeypatch.setattr(probes, "frequencies", frequencies)
    monkeypatch.setattr(probes, "_lists", lists)
    rows(connection, "SELECT id FROM notes WHERE body LIKE '%lantern magnet nebula 04%'")
    counts = asked[-1]
    assert len(counts) == 8
    assert len(read) == 1
    assert 1 <= len(read[0]) <= 3
    least = sorted(counts.values())
    assert [counts[word] for word in read[0]] == least[: len(read[0])]
    assert all(count > 32 * least[0] for count in least[len(read[0]) : 3])
    # Without the trigram in any text there is no list to be read.
    rows(connection, "SELECT id FROM notes WHERE body LIKE '%lantern qqq%'")
    assert len(read) == 1
    assert 0 in asked[-1].values()


def test_patterns_that_are_too_short_scan_and_say_so(many):
    connection, _ = many
    sql = "SELECT id FROM notes WHERE body LIKE '%ar%' AND body ILIKE '_b%'"
    lines = [line.strip() for (line,) in rows(connection, f"EXPLAIN {sql}")]
    said = "parts (substring) cannot serve {}: no part of it has three characters in a row"
    assert said.format("body LIKE '%ar%'") in lines
    assert said.format("lower(body) LIKE '%b%'") in lines
    assert used(connection, sql) == ["none"]


def test_parameters_are_patterns_when_they_are_known(many):
    connection, plain = many
    for sql, ours, theirs in (
        ("body LIKE $1", ("%velvet%",), ("%velvet%",)),
        ("body ILIKE '%' || $1 || '%'", ("VELVET",), ("VELVET",)),
        ("body LIKE '%' || $1 || $2 || '%'", ("vel", "vet"), ("vel", "vet")),
        ("body ILIKE $1", ("Zipper \\%",), ("nothing",)),
        ("contains(body, $1)", ("%velvet",), ("%velvet",)),
        ("contains(lower(body), lower($1))", ("Velvet W",), ("Velvet W",)),
    ):
        query = f"SELECT id FROM notes WHERE {sql}"
        found = rows(connection, query, ours)
        assert sorted(found) == sorted(plain.execute(query, list(theirs)).fetchall())
        assert used(connection, query, ours) == ["parts"]
    assert rows(connection, "SELECT id FROM notes WHERE body LIKE $1", (None,)) == []
    assert rows(connection, "SELECT id FROM notes WHERE body LIKE '%' || $1 || '%'", (None,)) == []
    assert used(connection, "SELECT id FROM notes WHERE body LIKE $1", ("%",)) == ["none"]


def test_what_most_texts_have_is_left_to_a_scan(database: Database):
    connection = database.connect()
    connection.execute("CREATE TABLE notes (id INT PRIMARY KEY, body TEXT)")
    connection.execute("CREATE INDEX parts ON notes USING substring (body)")
    connection.executemany(
        "INSERT INTO notes VALUES (?, ?)", [(n, f"the same {n}") for n in range(1_500)]
    )
    connection.execute("VACUUM")
    assert used(connection, "SELECT id FROM notes WHERE body LIKE '%same%'") == ["none"]
    assert used(connection, "SELECT id FROM notes WHERE body LIKE '%same 77%'") == ["parts"]


def test_an_engine_that_folds_otherwise_is_not_answered_from_the_index(many, monkeypatch):
    connection, plain = many
    monkeypatch.setattr(proxy.execute.access, "engine_folds_alike", lambda: False)
    for condition, name in (
        ("body ILIKE '%GLACIER%'", "none"),
        ("lower(body) LIKE '%glacier%'", "none"),
        ("body LIKE '%glacier%'", "parts"),
        ("body LIKE '%glacier%' AND body ILIKE '%ISLAND%'", "parts"),
        ("body LIKE '%glacier%' OR body ILIKE '%ISLAND%'", "none"),
    ):
        sql = f"SELECT id FROM notes WHERE {condition}"
        assert sorted(rows(connection, sql)) == sorted(plain.execute(sql).fetchall())
        assert used(connection, sql) == [name]


def test_the_engine_is_compared_with_the_table(monkeypatch):
    engine_folds_alike.cache_clear()
    assert engine_folds_alike()
    folded = proxy.execute.folding.fold_codes
    monkeypatch.setattr(
        proxy.execute.folding, "fold_codes", lambda codes: folded(codes) + (codes == 0x10FFFF)
    )
    engine_folds_alike.cache_clear()
    assert not engine_folds_alike()
    engine_folds_alike.cache_clear()
