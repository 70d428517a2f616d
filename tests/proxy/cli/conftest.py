"""A session that answers from a script, so that the command line can be tested by itself."""

import io
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace

import pyarrow as pa
import pytest

from indexes.types import ColumnType
from proxy import opening
from proxy.catalog import Catalog, Check, Column, ForeignKey, Index, Table
from proxy.cli.main import main
from proxy.result import Result


def column(number, name, kind, **others):
    return Column(number, name, ColumnType.parse(kind), **others)


RESIDENTS = Table(
    id=7,
    name="residents",
    columns=(
        column(1, "id", "BIGINT", not_null=True),
        column(2, "zip", "TEXT", default="'00000'"),
        column(3, "age", "SMALLINT", not_null=True),
        column(4, "Home Town", "VARCHAR(20)"),
        column(5, "email", "TEXT"),
    ),
    indexes=(
        Index(1, "residents_pkey", "equality", (1,), unique=True, primary=True),
        Index(2, "residents_email_key", "equality", (5,), unique=True),
        Index(3, "residents_zip_idx", "equality", (2,)),
        Index(4, "residents_age_idx", "range", (3,)),
        Index(5, "residents_tag_idx", "det", (2,)),
        Index(6, "residents_town_idx", "keyword", (4,), options=(("language", "english"),)),
    ),
    checks=(Check("residents_check", "age >= 0"),),
    foreign_keys=(ForeignKey("residents_zip_fkey", (2,), "zips", ("code",), "CASCADE"),),
)
ZIPS = Table(id=8, name="zips", columns=(column(1, "code", "TEXT"), column(2, "order", "INTEGER")))


def rows(table, tag=None):
    """A result that holds an Arrow table."""
    names = tuple((name, str(table.schema.field(name).type)) for name in table.column_names)
    return Result("rows", tag or f"SELECT {table.num_rows}", names, table, table.num_rows)


@dataclass
class FakeSession:
    catalog: Catalog = field(default_factory=lambda: Catalog(tables=(RESIDENTS, ZIPS)))
    answers: dict = field(default_factory=dict)
    executed: list = field(default_factory=list)
    in_transaction: bool = False
    notices: tuple = ()

    def execute(self, sql, _parameters=()):
        self.executed.append(sql)
        if sql.upper() in ("BEGIN", "COMMIT", "ROLLBACK"):
            self.in_transaction = sql.upper() == "BEGIN"
            return Result("done", sql.upper())
        answer = self.answers.get(sql, Result("done", "OK"))
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
def session():
    return FakeSession()


@pytest.fixture
def connections(session, monkeypatch):
    """Calls that open a session; each gets the fake one."""
    calls = []

    def open_session(url, keyring=None, passphrase=None, expect=None):
        calls.append((url, keyring, passphrase))
        return session

    session.close = lambda: calls.append("closed")
    monkeypatch.setattr(opening, "open_session", open_session)
    return calls


@pytest.fixture
def run(connections, monkeypatch, capsys):
    """Run one command line; returns status, stdout and stderr."""

    def command(*arguments, stdin=""):
        data = stdin if isinstance(stdin, bytes) else stdin.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return SimpleNamespace(status=status, out=captured.out, err=captured.err)

    return command


@pytest.fixture
def people():
    """A small result with a NULL."""
    return rows(pa.table({"zip": ["06018", None], "n": [2, 17]}))
