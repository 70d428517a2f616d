"""A small encrypted store with a history, and fresh clients that put the same questions to copies of it.

The history leaves something in every relation: settled rows in packs, recent rows, claims of unique
values, tombstones, pending deltas of several writers, pages of each kind and several versions of
the catalog and the manifests.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import encdb
from encdb.__main__ import main
from tests.attacks.mutations import Mutation, all_mutations, copy_files
from tests.fixtures.kinds import StoreKind
from tests.fixtures.raw import Refused, Relation

QUESTIONS: tuple[str, ...] = (
    "SELECT * FROM people",
    "SELECT count(*) FROM people",
    "SELECT * FROM people WHERE id = 17",
    "SELECT * FROM people WHERE id = 205",
    "SELECT * FROM people WHERE id = 123456",
    "SELECT id, name FROM people WHERE zip = '06003'",
    "SELECT count(*) FROM people WHERE zip = 'nowhere'",
    "SELECT id, age FROM people WHERE age BETWEEN 30 AND 33",
    "SELECT min(age), max(age), min(id), max(id) FROM people",
    "SELECT id, age FROM people ORDER BY age DESC, id LIMIT 5",
    "SELECT id FROM people WHERE notes @@ 'asth* -smokre~1'",
    "SELECT id FROM people WHERE notes @@ 'unheardof'",
    "SELECT zip, count(*), sum(age) FROM people GROUP BY zip",
    "SELECT p.name, v.day FROM people p JOIN visits v ON v.person = p.id WHERE p.zip = '06001'",
    "SELECT person, count(*) FROM visits GROUP BY person",
)

ILLNESSES = ("asthma", "measles", "a broken arm", "hay fever", "a cough")
HABITS = ("smoker", "runner", "swimmer", "reader")

Answers = Mapping[str, list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Vault:
    """A store, the folder of its keyring and pin, earlier copies, and the right answers."""

    kind: StoreKind
    store: str
    keys: Path
    older: tuple[str, ...]
    answers: Answers

    def relations(self, url: str | None = None) -> dict[str, Relation]:
        """What the database below holds, now or in a copy."""
        with self.kind.raw(url or self.store) as raw:
            return raw.relations()

    def mutations(self, seed: int = 0) -> list[Mutation]:
        """Everything that can be done to the store."""
        older = [self.relations(url) for url in self.older]
        return list(all_mutations(self.relations(), older, seed))

    def drop(self) -> None:
        """Remove the store and its copies."""
        for url in (self.store, *self.older):
            self.kind.drop(url)

    @property
    def keyring(self) -> Path:
        """The keyring file."""
        return keyring_in(self.keys)


def keyring_in(folder: Path) -> Path:
    """The keyring file of a folder."""
    return folder / "vault.keyring"


def person(number: int, draw: random.Random) -> tuple[Any, ...]:
    """One row of ``people``."""
    notes = f"{draw.choice(ILLNESSES)}, {draw.choice(HABITS)}, visit {number}"
    return (number, f"Person {number}", f"060{number % 12:02d}", draw.randrange(18, 90), notes)


def build(kind: StoreKind, folder: Path, settled: int) -> Vault:
    """Make a store with ``settled`` settled rows and a few dozen recent changes."""
    draw = random.Random(7)
    store, keys = kind.new_url(folder), folder / "keys"
    keys.mkdir()
    encdb.init(store, keyring=str(keyring_in(keys)))
    older: list[str] = []

    def remember() -> None:
        copy = kind.new_url(folder, f"older{len(older)}")
        kind.copy(store, copy)
        older.append(copy)

    with client(store, keys) as connection:
        connection.execute(
            "CREATE TABLE people (id BIGINT PRIMARY KEY, name TEXT NOT NULL, zip TEXT, "
            "age INT, notes TEXT)"
        )
        connection.execute("CREATE INDEX ON people USING equality (zip)")
        connection.execute("CREATE INDEX ON people USING range (age)")
        connection.execute("CREATE INDEX ON people USING keyword (notes)")
        _add(connection, [person(n, draw) for n in range(1, settled + 1)])
        remember()
        connection.execute("VACUUM people")
        remember()
        connection.execute("CREATE TABLE visits (id BIGINT PRIMARY KEY, person BIGINT, day DATE)")
        visits = ", ".join(
            f"({n}, {n * 7 % 40 + 1}, '2024-01-{n % 28 + 1:02d}')" for n in range(60)
        )
        connection.execute(f"INSERT INTO visits VALUES {visits}")
    with client(store, keys) as connection:
        _change(connection, settled, 0, draw)
        remember()
        connection.execute("VACUUM people")
        connection.execute("VACUUM visits")
        remember()
    with client(store, keys) as connection:
        connection.execute("CREATE INDEX ON visits USING equality (person)")
        _change(connection, settled, 1, draw)
    with client(store, keys) as connection:
        connection.execute("DELETE FROM visits WHERE id IN (3, 4)")
        _add(connection, [person(settled + 500, draw)])
        remember()
        connection.execute("UPDATE people SET age = 31 WHERE id = 17")
    return Vault(kind, store, keys, tuple(older), answers(store, keys))


def _add(connection: Any, rows: list[tuple[Any, ...]]) -> None:
    connection.cursor().executemany("INSERT INTO people VALUES (?, ?, ?, ?, ?)", rows)


def _change(connection: Any, settled: int, turn: int, draw: random.Random) -> None:
    """Add, change and remove a few rows, settled and recent ones."""
    first = settled + 1 + 20 * turn
    _add(connection, [person(n, draw) for n in range(first, first + 20)])
    low = 10 + 30 * turn
    connection.execute(f"UPDATE people SET age = age + 1 WHERE id BETWEEN {low} AND {low + 5}")
    connection.execute(f"DELETE FROM people WHERE id BETWEEN {low + 8} AND {low + 12}")
    connection.execute(f"UPDATE people SET zip = '06003' WHERE id = {first + 1}")
    connection.execute(f"DELETE FROM people WHERE id = {first + 2}")


@contextmanager
def client(store: str, keys: Path, *, pin: bool = True) -> Iterator[Any]:
    """A connection that remembers nothing but the keyring, and the pin unless told otherwise."""
    connection = encdb.connect(store, keyring=str(keyring_in(keys)), pin=pin)
    try:
        yield connection
    finally:
        connection.close()


def ask(connection: Any, question: str) -> list[tuple[Any, ...]]:
    """The answer as a sorted list, since most of the questions ask for no order."""
    return sorted(connection.cursor().execute(question).fetchall(), key=repr)


def answers(store: str, keys: Path) -> dict[str, list[tuple[Any, ...]]]:
    """What a client is told by an honest store."""
    with client(store, keys) as connection:
        return {question: ask(connection, question) for question in QUESTIONS}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    status: int
    output: str
    errors: str


def command(name: str, store: str, *words: object, keyring: Path) -> Ended:
    """Run one ``encdb`` command on a store within this process."""
    output, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        status = main([name, store, *map(str, words), "--keyring", str(keyring)])
    return Ended(status, output.getvalue(), errors.getvalue())


@dataclass(frozen=True, slots=True)
class Outcome:
    """What fresh clients made of a changed store.

    Attributes:
        right: questions that were answered as before.
        refused: question -> the error that it met instead of an answer.
        wrong: question -> the answer that it should never have got.
    """

    right: tuple[str, ...]
    refused: dict[str, encdb.EncdbError]
    wrong: dict[str, list[tuple[Any, ...]]]


def attack(
    vault: Vault,
    mutation: Mutation,
    copy: str,
    folder: Path,
    *,
    pin: bool = True,
    share: int = 3,
    enough: int = len(QUESTIONS),
) -> Outcome:
    """Change a copy of the store and put every question to it.

    A client is asked ``share`` questions that are far apart in the list, then the next one connects;
    an error ends it at once. So most reads are of a client that has nothing cached. After ``enough``
    errors nobody is asked any more. A change that the database refuses is no attack.
    """
    keys = folder / "keys"
    vault.kind.put_back(vault.store, copy)
    try:
        with vault.kind.raw(copy) as raw:
            mutation.apply(raw)
    except Refused:
        return Outcome((), {}, {})
    right: list[str] = []
    refused: dict[str, encdb.EncdbError] = {}
    wrong: dict[str, list[tuple[Any, ...]]] = {}
    clients = -(-len(QUESTIONS) // share)
    for turn in range(clients):
        left = list(QUESTIONS[turn::clients])
        while left and len(refused) < enough:
            copy_files(vault.keys, keys)
            try:
                with client(copy, keys, pin=pin) as fresh:
                    while left:
                        answer = ask(fresh, left[0])
                        question = left.pop(0)
                        if answer == vault.answers[question]:
                            right.append(question)
                        else:
                            wrong[question] = answer
            except encdb.EncdbError as error:
                if not left:
                    # Closing found what the answers did not need; nothing was withheld or wrong.
                    break
                refused[left.pop(0)] = error
    return Outcome(tuple(right), refused, wrong)
