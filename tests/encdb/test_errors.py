"""The PEP 249 tree, the catalogue of codes, and that every code raised is in it."""

from __future__ import annotations

import ast
import inspect
import pickle
import re
from pathlib import Path

import pytest

import encdb
from encdb import errors
from encdb.errors import CODES, EncdbError, err

ROOT = Path(__file__).resolve().parents[2]
CLASSES = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, EncdbError)
]


def test_tree_is_that_of_pep_249():
    assert encdb.Error is EncdbError
    for name in ("InterfaceError", "DatabaseError"):
        assert issubclass(getattr(encdb, name), encdb.Error)
    for name in (
        "DataError",
        "OperationalError",
        "IntegrityError",
        "InternalError",
        "ProgrammingError",
        "NotSupportedError",
    ):
        assert issubclass(getattr(encdb, name), encdb.DatabaseError)
    assert issubclass(encdb.Warning, Exception)
    assert not issubclass(encdb.Warning, encdb.Error)


def test_message_is_one_line_with_the_fix():
    error = err(encdb.DataError, "E_OUT_OF_RANGE", "column age:\n 999 is too large.")
    assert str(error) == ("column age: 999 is too large. Use a smaller value, or a wider type")
    assert error.message == "column age: 999 is too large"
    assert error.code == "E_OUT_OF_RANGE"
    assert error.sqlstate == "22003"
    assert error.exit_status == 1
    assert error.anchor == "docs/errors.md#e_out_of_range"


def test_a_fix_of_ones_own_replaces_the_catalogues():
    error = err(encdb.UsageError, "E_USAGE", "no such option", "Did you mean --json?")
    assert str(error) == "no such option. Did you mean --json?"


def test_an_unknown_code_hides_nothing():
    error = err(encdb.TamperError, "E_NO_SUCH_CODE", "a page is missing")
    assert (str(error), error.code, error.exit_status) == (
        "a page is missing",
        "E_NO_SUCH_CODE",
        4,
    )
    assert error.info is None


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_errors_survive_pickling(kind: type[EncdbError]):
    error = kind("message", code="E_USAGE", fix="do this")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (str(copy), copy.code, copy.fix) == (str(error), error.code, error.fix)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_has_a_sqlstate_and_an_exit_status(kind: type[EncdbError]):
    error = kind("message")
    assert re.fullmatch(r"[0-9A-Z]{5}", error.sqlstate)
    assert error.exit_status in {1, 2, 3, 4}


@pytest.mark.parametrize("code", CODES)
def test_catalogue_entries_are_well_formed(code: str):
    info = CODES[code]
    assert re.fullmatch(r"E_[A-Z0-9]+(_[A-Z0-9]+)*", code)
    assert re.fullmatch(r"[0-9A-Z]{5}", info.sqlstate)
    assert info.exit in {1, 2, 3, 4}
    assert info.meaning.endswith(".")
    assert "\n" not in info.fix
    assert not info.fix.endswith(".")


def _raised_codes() -> dict[str, str]:
    found = {}
    for folder in ("encdb", "proxy", "indexes"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if (
                    isinstance(node, ast.Constant)
                    and isinstance(node.value, str)
                    and re.fullmatch(r"E_[A-Z0-9_]+", node.value)
                    and "codes" not in path.parts
                ):
                    found[node.value] = f"{path.relative_to(ROOT)}:{node.lineno}"
    return found


def test_every_code_in_the_sources_is_in_the_catalogue():
    raised = _raised_codes()
    assert {code: place for code, place in raised.items() if code not in CODES} == {}
    assert len(raised) > 10


def test_the_exit_status_of_key_and_integrity_codes_matches_their_class():
    for code, info in CODES.items():
        if code.startswith(("E_KEYRING", "E_PASSPHRASE")):
            assert info.exit == 3, code
        if code in {"E_TAMPERED", "E_ROLLED_BACK", "E_FORK", "E_STORE_DAMAGED"}:
            assert info.exit == 4, code
