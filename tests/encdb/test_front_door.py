"""``import encdb`` is light, shows PEP 249's names, and refuses foreign packages."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import pytest

import encdb

ROOT = Path(encdb.__file__).resolve().parents[1]
HEAVY = ("numpy", "pyarrow", "duckdb", "sqlglot", "cryptography", "click", "proxy", "indexes")


def run(
    code: str, *, path: list[Path], cwd: Path, flags: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        [sys.executable, *flags, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        cwd=cwd,
        timeout=60,
    )


@pytest.mark.parametrize(
    "code",
    [
        "import encdb; encdb.__version__; encdb.EncdbError; dir(encdb)",
        "from encdb.__main__ import main; assert main(['--version']) == 0",
        "import encdb.wire, encdb.errors, encdb.stores",
    ],
)
def test_nothing_heavy_is_loaded(code: str, tmp_path: Path):
    check = f"{code}; import sys; print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    done = run(check, path=[ROOT], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == "[]"


def test_opening_a_store_loads_no_key_handling(tmp_path: Path):
    code = (
        "import os, sys\n"
        "from encdb import wire\n"
        "from encdb.stores import create_store, open_store\n"
        "genesis = wire.Genesis(bytes(16), bytes(16), wire.FORMAT_VERSION, b'c', bytes(32))\n"
        "create_store('a.db', genesis).close()\n"
        "open_store('a.db').close()\n"
        "print(sorted({'cryptography', 'proxy', 'indexes'} & set(sys.modules)))\n"
    )
    done = run(code, path=[ROOT], cwd=tmp_path)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("room", ["proxy", "indexes"])
def test_a_foreign_package_is_refused_before_it_runs(room: str, tmp_path: Path):
    foreign = tmp_path / "foreign"
    (foreign / room).mkdir(parents=True)
    marker = tmp_path / "ran"
    (foreign / room / "__init__.py").write_text(f"open({str(marker)!r}, 'w')\n")
    code = (
        "import encdb\n"
        "try:\n"
        "    encdb.connect\n"
        "except encdb.OperationalError as error:\n"
        "    print(error.code, error)\n"
    )
    done = run(code, path=[foreign, ROOT], cwd=tmp_path)
    assert done.stdout.startswith("E_SHADOWED "), done.stderr
    assert room in done.stdout
    assert not marker.exists()


def test_a_foreign_namespace_package_is_refused(tmp_path: Path):
    """A folder without __init__.py only wins where there is no package of that name."""
    alone = tmp_path / "alone"
    (alone / "proxy").mkdir(parents=True)
    (alone / "encdb").symlink_to(ROOT / "encdb")
    done = run(
        "import encdb.__main__ as m, sys; sys.exit(m.main(['init', 'x.db']))",
        path=[alone],
        cwd=tmp_path,
        flags=("-S",),  # An installed encdb has a package of that name, which would win.
    )
    assert done.returncode == 1, done.stderr
    assert "E_SHADOWED" in done.stderr
    assert "Traceback" not in done.stderr


def test_pep_249_module_attributes():
    assert encdb.apilevel == "2.0"
    assert encdb.threadsafety == 1
    assert encdb.paramstyle == "qmark"


def test_constructors_of_pep_249():
    assert encdb.Date(2024, 2, 29) == dt.date(2024, 2, 29)
    assert encdb.TimestampFromTicks(0) == dt.datetime(1970, 1, 1)
    assert encdb.DateFromTicks(86_400) == dt.date(1970, 1, 2)
    assert encdb.TimeFromTicks(61) == dt.time(0, 1, 1)
    assert encdb.Binary(b"ab") == b"ab"


@pytest.mark.parametrize(
    ("code", "group"),
    [
        ("DECIMAL(10,2)", encdb.NUMBER),
        ("BIGINT", encdb.NUMBER),
        ("VARCHAR(20)", encdb.STRING),
        ("TIMESTAMP WITH TIME ZONE", encdb.DATETIME),
        ("BLOB", encdb.BINARY),
    ],
)
def test_type_objects_equal_their_types(code: str, group: object):
    groups = [encdb.NUMBER, encdb.STRING, encdb.DATETIME, encdb.BINARY, encdb.ROWID]
    assert [one for one in groups if one == code] == [group]


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = encdb.no_such_name


def test_every_public_name_is_there():
    for name in encdb.__all__:
        assert getattr(encdb, name) is not None, name
