"""The demonstration: three questions, their answers, and beside each what the store received for it.

It runs on the same calls as the commands, with made-up data of a fixed seed, in a folder of its own.
What stands on the right of each answer is the recorded trace of the store's side of the boundary:
kinds of messages, how many opaque ids they named, and how many sealed bytes came back.
"""

from __future__ import annotations

import io
import sys
import tempfile
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from encdb.errors import UsageError, err
from proxy.cli.output import Format, Output, Row, as_utf8
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
    "A question about everybody. The store handed out three columns and the list of rows, sealed, as "
    "a whole. It computed nothing and cannot tell an age from a city.",
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


def run_demo(keep: str | None = None, stream: IO[str] | None = None) -> None:
    """Run the demonstration and write it to ``stream`` (stdout by default).

    Args:
        keep: folder to leave everything in; it must not exist. None cleans up.
        stream: where the text goes.

    Raises:
        UsageError: ``keep`` exists.
    """
    out = as_utf8(stream or sys.stdout)
    with _folder(keep) as folder:
        session_url, keyring = folder / "county.db", folder / "county.keyring"
        _make_data(folder)
        with _open(session_url, keyring) as (session, trace):
            rows, letters = _load(session, folder)
            out.write(
                f"{rows:,} made-up residents and {letters} made-up letters, in a store that cannot "
                "read them.\n"
            )
            for number, question in enumerate((AVERAGE, RANGE), start=1):
                mark = trace.mark()
                answer = _ask(session, question)
                _show(out, number, question, answer, trace.since(mark))
            mark = trace.mark()
            answer = _search(session)
            _show(out, 3, SEARCH, answer, trace.since(mark))
        _show_scan(out, folder)
        if keep is not None:
            out.write(
                f"\nThe store stays in {folder}. Look around with\n\n"
                f"  encdb shell {session_url} --keyring {keyring}\n"
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


def _ask(session: Session, question: Question) -> list[str]:
    from proxy.cli.shell import rows_of

    result = session.execute(question.text)
    assert result.table is not None, "every question of the demo has rows for an answer"
    return _lines([name for name, _ in result.columns], rows_of(result.table))[:-1]


def _search(session: Session) -> list[str]:
    from proxy import documents

    hits = documents.search(session, SEARCH.text, COLLECTION, 5)
    return _lines(
        ["letter", "title", "score"],
        [(Path(hit.path).name, hit.title, round(hit.score, 2)) for hit in hits],
    )[:-1]


def _lines(columns: Sequence[str], rows: Iterable[Row]) -> list[str]:
    stream = io.StringIO()
    write_table(stream, columns, rows)
    return stream.getvalue().splitlines()


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
    return _lines(["message", "ids", "bytes sent back"], rows)[:-1]


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


def _show(
    out: IO[str], number: int, question: Question, answer: list[str], events: Sequence[Event]
) -> None:
    title = f"{number}. {question.title}"
    out.write(f"\n{title}\n{'═' * len(title)}\n\n")
    out.write(textwrap.indent(question.text, "  ") + "\n\n")
    seen = messages(received(events))
    blocks = beside(
        ["the answer, on your machine", "", *answer], ["what the store received", "", *seen]
    )
    out.write(textwrap.indent("\n".join(blocks), "  ") + "\n\n")
    out.write(
        textwrap.fill(question.remark, 96, initial_indent="  ", subsequent_indent="  ") + "\n"
    )


def _show_scan(out: IO[str], folder: Path) -> None:
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
    title = f"What a thief finds in the {len(sealed):,} bytes of the store"
    out.write(f"\n{title}\n{'═' * len(title)}\n\n")
    rows = []
    for word, meaning in words.items():
        forms = (word.encode(), word.encode("utf-16-le"), word.encode("utf-16-be"))
        found = sum(sealed.count(form) for form in forms)
        rows.append((word, meaning, plain.count(forms[0]), found))
    lines = _lines(["word", "what it is", "in the data", "in the store"], rows)[:-1]
    out.write(textwrap.indent("\n".join(lines), "  ") + "\n")


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
