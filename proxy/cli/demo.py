"""The demonstration: three questions, their answers, and beside each what the store received for it.

It runs on the same calls as the commands, with made-up data of a fixed seed, in a folder of its own.
What stands on the right of each answer is the recorded trace of the store's side of the boundary:
kinds of messages, how many opaque ids they named, and how many sealed bytes came back.
"""

from __future__ import annotations

import io
import tempfile
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from encdb.errors import UsageError, err
from proxy.cli.output import Format, Output, Row
from proxy.cli.render import write_table

if TYPE_CHECKING:
    from encdb.trace import Event, Recorder
    from proxy.session import Session

COLLECTION = "letters"
GAP = "   │ "

# Fields of a request that name what the store is to look up.
_LOOKED_UP = ("ids", "labels", "tags", "cursors.table")


@dataclass(frozen=True, slots=True)
class Question:
    """One question: what a person asks, and how it is put to encdb."""

    title: str
    text: str
    remark: str


AVERAGE = Question(
    "The average age by zip code",
    "SELECT zip, city, round(avg(age), 1) AS age, count(*) AS people\n"
    "FROM residents GROUP BY zip, city ORDER BY zip",
    "A question about everybody. The store handed out three whole columns, sealed. It computed "
    "nothing and cannot tell an age from a city.",
)
RANGE = Question(
    "Everybody over 98",
    "SELECT id, name, age, zip FROM residents\nWHERE age > 98 ORDER BY age DESC, id",
    "Neither the bound 98 nor the word age is in any message. Pages of the index were asked for by "
    "number; all pages look alike, and their numbers are shuffled. Then two more columns were "
    "fetched; what the first question had opened was still in the client's memory.",
)
SEARCH = Question(
    "Letters about the clinic, but not about the budget",
    "clinic AND (asthma OR allergy) -budget",
    "The words became numbers under a key that the store does not have. An index as small as this "
    "one is fetched whole, so the store cannot tell one search from another; in a large one it sees "
    "which pages a word needs, and recognises a word that is asked for again.",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One question with its answer and what the store saw of it.

    Attributes:
        question: what was asked.
        columns: names of the answer's columns.
        rows: the answer.
        seen: (kind of message, ids in it, sealed bytes sent back), equal kinds added up.
    """

    question: Question
    columns: Sequence[str]
    rows: Sequence[Row]
    seen: Sequence[tuple[str, int, int]]


def run_demo(output: Output, keep: str | None = None) -> None:
    """Run the demonstration.

    Args:
        output: where it goes: prose and tables for people, one object a question for programs.
        keep: folder to leave everything in; it must not exist. None cleans up.

    Raises:
        UsageError: ``keep`` exists.
    """
    with _folder(keep) as folder:
        store, keyring = folder / "county.db", folder / "county.keyring"
        _make_data(folder)
        with _open(store, keyring) as (session, trace):
            rows, letters = _load(session, folder)
            answers = [
                _answer(trace, AVERAGE, lambda: _ask(session, AVERAGE)),
                _answer(trace, RANGE, lambda: _ask(session, RANGE)),
                _answer(trace, SEARCH, lambda: _search(session)),
            ]
        if not output.for_people:
            _write_objects(output, answers)
            return
        output.text(
            f"{rows:,} made-up residents and {letters} made-up letters, in a store that cannot "
            "read them."
        )
        for number, answer in enumerate(answers, start=1):
            _show(output, number, answer)
        _show_scan(output, folder)
        if keep is not None:
            output.text(f"\nThe store stays in {folder}. Look around with\n")
            output.text(f"  encdb shell {store} --keyring {keyring}")


def _write_objects(output: Output, answers: Sequence[Answer]) -> None:
    names = ("message", "ids", "bytes")
    output.result(
        ("question", "query", "answer", "received"),
        (
            (
                one.question.title,
                one.question.text,
                [dict(zip(one.columns, row, strict=True)) for row in one.rows],
                [dict(zip(names, seen, strict=True)) for seen in one.seen],
            )
            for one in answers
        ),
    )


@contextmanager
def _folder(keep: str | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="encdb-demo-") as name:
            yield Path(name)
        return
    folder = Path(keep)
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise err(
            UsageError, "E_USAGE", f"{folder} exists", "Name a folder that does not exist"
        ) from None
    yield folder


def _make_data(folder: Path) -> None:
    from proxy.demo.mailbox import write_mailbox
    from proxy.demo.residents import write_csv

    write_csv(folder / "residents.csv")
    write_mailbox(folder / "mailbox")


def _answer(
    trace: Recorder, question: Question, ask: Callable[[], tuple[Sequence[str], Sequence[Row]]]
) -> Answer:
    mark = trace.mark()
    columns, rows = ask()
    return Answer(question, columns, rows, received(trace.since(mark)))


def _ask(session: Session, question: Question) -> tuple[Sequence[str], Sequence[Row]]:
    result = session.execute(question.text)
    return [name for name, _ in result.columns], result.rows()


def _search(session: Session) -> tuple[Sequence[str], Sequence[Row]]:
    from proxy import documents

    hits = documents.search(session, SEARCH.text, COLLECTION, 5)
    rows = [(Path(hit.path).name, hit.title, round(hit.score, 2)) for hit in hits]
    return ["letter", "title", "score"], rows


def _lines(columns: Sequence[str], rows: Iterable[Row]) -> list[str]:
    stream = io.StringIO()
    write_table(stream, columns, rows)
    # Without the row count below.
    return stream.getvalue().splitlines()[:-1]


def received(events: Sequence[Event]) -> list[tuple[str, int, int]]:
    """What the store saw: (kind of message, ids in it, sealed bytes moved), equal kinds added up."""
    from encdb.trace import TO_STORE

    total: dict[str, tuple[int, int]] = {}
    kind = ""
    for event in events:
        if event.boundary == TO_STORE:
            kind = event.kind
            named = sum(len(event.named(field)) for field in _LOOKED_UP)
        else:
            named = 0
        ids, size = total.get(kind, (0, 0))
        total[kind] = ids + named, size + event.bytes
    return [(name, ids, size) for name, (ids, size) in total.items()]


def messages(seen: Sequence[tuple[str, int, int]]) -> list[str]:
    """The store's side of a question as lines of a table."""
    width = max((len(f"{size:,}") for _, _, size in seen), default=0)
    rows = [(kind, ids, f"{size:,}".rjust(width)) for kind, ids, size in seen]
    return _lines(["message", "ids", "bytes sent back"], rows)


def beside(left: Sequence[str], right: Sequence[str]) -> list[str]:
    """Two blocks of lines side by side."""
    from rich.cells import cell_len

    width = max(map(cell_len, left), default=0)
    lines = []
    for place in range(max(len(left), len(right))):
        one = left[place] if place < len(left) else ""
        other = right[place] if place < len(right) else ""
        lines.append((one + " " * (width - cell_len(one)) + GAP + other).rstrip())
    return lines


def _show(output: Output, number: int, answer: Answer) -> None:
    question = answer.question
    _title(output, f"{number}. {question.title}")
    output.text(textwrap.indent(question.text, "  ") + "\n")
    left = ["the answer, on your machine", "", *_lines(answer.columns, answer.rows)]
    right = ["what the store received", "", *messages(answer.seen)]
    output.text(textwrap.indent("\n".join(beside(left, right)), "  ") + "\n")
    output.text(textwrap.fill(question.remark, 96, initial_indent="  ", subsequent_indent="  "))


def _title(output: Output, title: str) -> None:
    output.text(f"\n{title}\n{'═' * len(title)}\n")


def _show_scan(output: Output, folder: Path) -> None:
    """Look for words of the data in every byte of the store."""
    words = {
        "Millbrook": "a city",
        "Zimmermann": "a surname",
        "carpenter": "an occupation",
        "asthma": "a word of letters",
        "occupation": "a column name",
    }
    plain = b"".join(path.read_bytes() for path in sorted(folder.glob("mailbox/*")))
    plain += (folder / "residents.csv").read_bytes()
    sealed = b"".join(path.read_bytes() for path in sorted(folder.glob("county.db*")))
    _title(output, f"What a thief finds in the {len(sealed):,} bytes of the store")
    rows = []
    for word, meaning in words.items():
        forms = (word.encode(), word.encode("utf-16-le"), word.encode("utf-16-be"))
        found = sum(sealed.count(form) for form in forms)
        rows.append((word, meaning, plain.count(forms[0]), found))
    lines = _lines(["word", "what it is", "in the data", "in the store"], rows)
    output.text(textwrap.indent("\n".join(lines), "  "))


def _load(session: Session, folder: Path) -> tuple[int, int]:
    """Load the made-up data through the same calls as the commands; rows and letters loaded."""
    from proxy.cli.importing import ImportRequest, prepare, run_import
    from proxy.documents import add_documents

    request = ImportRequest(
        file=str(folder / "residents.csv"),
        table="residents",
        primary_key=("id",),
        indexes=("equality:zip", "range:age"),
        types={"income": "DECIMAL(10,2)"},
    )
    rows = run_import(session, prepare(request), Output(Format.TABLE, io.StringIO()))
    added = add_documents(session, [folder / "mailbox"], COLLECTION)
    # So few letters would stay among the recent changes, which every client reads whole; settling
    # them shows what a search looks like in the long run.
    session.execute("VACUUM")
    return rows, added.added


@contextmanager
def _open(store: Path, keyring: Path) -> Iterator[tuple[Session, Recorder]]:
    """Make the store and open it with a recorder before it."""
    from proxy import opening

    opening.create(str(store), keyring)
    session = opening.open_session(str(store), keyring, record=True)
    try:
        assert session.trace is not None, "the recorder was asked for"
        yield session, session.trace
    finally:
        session.close()
