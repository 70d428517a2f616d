"""encdb: an encrypted SQL database and document search engine whose store cannot read it.

The trusted half lives in the packages ``proxy`` and ``indexes``; programs only ever import this
one. It is a PEP 249 module::

    import encdb

    connection = encdb.connect("vault.db")
    connection.execute("SELECT zip, avg(age) FROM residents GROUP BY zip").fetchall()

Names that need the trusted half are loaded when they are first used, so that a process that only
keeps a store never loads code that handles keys, and ``import encdb`` stays fast.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from . import errors
from ._version import __version__
from .dbtypes import (
    BINARY,
    DATETIME,
    NUMBER,
    ROWID,
    STRING,
    Binary,
    Date,
    DateFromTicks,
    Time,
    TimeFromTicks,
    Timestamp,
    TimestampFromTicks,
)
from .errors import (
    ConflictError,
    DatabaseError,
    DataError,
    EncdbError,
    Error,
    FormatError,
    IntegrityError,
    InterfaceError,
    InternalError,
    KeyringError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    StoreUnavailable,
    TamperError,
    UsageError,
    Warning,  # noqa: A004 - PEP 249 fixes this name.
)

if TYPE_CHECKING:
    from types import ModuleType

    from proxy.dbapi import Connection, Cursor, connect, init

apilevel: Final = "2.0"
threadsafety: Final = 1
"""Threads may share the module, but not connections."""
paramstyle: Final = "qmark"

__all__ = [
    "BINARY",
    "DATETIME",
    "NUMBER",
    "ROWID",
    "STRING",
    "Binary",
    "ConflictError",
    "Connection",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Date",
    "DateFromTicks",
    "EncdbError",
    "Error",
    "FormatError",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "KeyringError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "StoreUnavailable",
    "TamperError",
    "Time",
    "TimeFromTicks",
    "Timestamp",
    "TimestampFromTicks",
    "UsageError",
    "Warning",
    "__version__",
    "apilevel",
    "connect",
    "errors",
    "init",
    "paramstyle",
    "threadsafety",
]

_LAZY: Final = {
    "Connection": "proxy.dbapi",
    "Cursor": "proxy.dbapi",
    "connect": "proxy.dbapi",
    "init": "proxy.dbapi",
}
_ROOMS: Final = ("indexes", "proxy")


def load_trusted(module: str) -> ModuleType:
    """Import a module of the trusted half, after checking that it is ours.

    ``proxy`` and ``indexes`` are ordinary words. Handing a key to another distribution's package of
    that name would be worse than failing, so both must lie in the folder that holds ``encdb``.

    Raises:
        OperationalError: another package hides ours (``E_SHADOWED``). Nothing of it was imported.
    """
    home = Path(__file__).resolve().parent.parent
    for room in _ROOMS:
        spec = importlib.util.find_spec(room)
        origin = spec.origin if spec is not None else None
        found = Path(origin).resolve() if origin is not None else None
        if found is None or found.parent.parent != home:
            where = f"it lies at {found}" if found is not None else "encdb's own is not there"
            raise errors.err(
                OperationalError,
                "E_SHADOWED",
                f'the package "{room}" is not the one that belongs to encdb: {where}',
            )
    return importlib.import_module(module)


def __getattr__(name: str) -> Any:
    """Load a public name of the trusted half on first use (PEP 562)."""
    module = _LAZY.get(name)
    if module is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(load_trusted(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
