"""Every error that encdb raises, as the PEP 249 tree with codes, exit statuses and fixes.

An error is one line: what is wrong, then how to fix it. Its ``code`` names an entry of
:data:`encdb.codes.CODES` and an anchor of ``docs/errors.md``. Messages name tables, columns, files and
places; they never hold keys, passphrases or stored values, because messages end up in logs.

The tree (PEP 249, "Exceptions")::

    EncdbError = Error
    ├── InterfaceError
    └── DatabaseError
        ├── DataError
        ├── IntegrityError        a constraint: duplicate key, NOT NULL, CHECK
        ├── InternalError
        ├── NotSupportedError
        ├── OperationalError
        │   ├── ConflictError     another transaction came first (40001)
        │   ├── FormatError       a newer or older storage format
        │   ├── KeyringError      missing or wrong key (exit status 3)
        │   └── StoreUnavailable  locked, read only, full, missing
        ├── ProgrammingError
        │   └── UsageError        a wrong command line or call (exit status 2)
        └── TamperError           what the store served does not verify (exit status 4)
"""

from __future__ import annotations

from typing import ClassVar, TypeVar

from .codes import CODES, CodeInfo

__all__ = [
    "CODES",
    "CodeInfo",
    "ConflictError",
    "DataError",
    "DatabaseError",
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
    "UsageError",
    "Warning",
    "err",
]


class Warning(Exception):  # noqa: A001, N818 - PEP 249 fixes this name.
    """PEP 249's class for important warnings. encdb itself reports notices instead of raising it."""


class EncdbError(Exception):
    """Any failure that encdb reports.

    Args:
        message: what is wrong, without a full stop at the end.
        code: an entry of the catalogue, such as ``E_DUPLICATE_KEY``.
        fix: what the reader can do, as one sentence. ``None`` takes the catalogue's.

    Attributes:
        message: the first part alone.
        code: the catalogue entry, or ``None`` for an error outside the catalogue.
        fix: the second part alone, or ``None``.
    """

    default_sqlstate: ClassVar[str] = "58000"
    default_exit_status: ClassVar[int] = 1

    def __init__(self, message: str, *, code: str | None = None, fix: str | None = None) -> None:
        super().__init__(message)
        info = CODES.get(code) if code is not None else None
        self.message = " ".join(message.split()).rstrip(".")
        self.code = code
        self.fix = fix if fix is not None or info is None else info.fix

    def __str__(self) -> str:
        """One line: the message, then the fix."""
        if not self.fix:
            return self.message
        ending = "" if self.message.endswith(("?", "!")) else "."
        return f"{self.message}{ending} {self.fix.rstrip('.')}"

    @property
    def info(self) -> CodeInfo | None:
        """The catalogue entry of :attr:`code`, if there is one."""
        return CODES.get(self.code) if self.code is not None else None

    @property
    def sqlstate(self) -> str:
        """The five characters of the SQL standard (PostgreSQL's list where it goes further)."""
        return self.info.sqlstate if self.info is not None else self.default_sqlstate

    @property
    def exit_status(self) -> int:
        """Exit status of a command that fails with this error: 1, 2, 3 or 4."""
        return self.info.exit if self.info is not None else self.default_exit_status

    @property
    def anchor(self) -> str | None:
        """Where ``docs/errors.md`` explains this error."""
        return f"docs/errors.md#{self.code.lower()}" if self.code is not None else None


Error = EncdbError
"""PEP 249's name of the base class."""


class InterfaceError(EncdbError):
    """The driver was misused: a closed connection or cursor, a fetch without a result."""

    default_sqlstate = "08003"


class DatabaseError(EncdbError):
    """Anything that concerns the database."""


class DataError(DatabaseError):
    """A value does not fit: out of range, too long, malformed, division by zero."""

    default_sqlstate = "22000"


class OperationalError(DatabaseError):
    """The surroundings failed: files, locks, memory, interruption."""


class IntegrityError(DatabaseError):
    """A constraint of the schema is violated. Tampering is :class:`TamperError` instead."""

    default_sqlstate = "23000"


class InternalError(DatabaseError):
    """encdb contradicts itself: a defect, not a mistake of the caller."""

    default_sqlstate = "XX000"


class ProgrammingError(DatabaseError):
    """The statement or call is wrong: syntax, unknown names, wrong number of parameters."""

    default_sqlstate = "42000"


class NotSupportedError(DatabaseError):
    """What the statement asks for is not served; the message names it."""

    default_sqlstate = "0A000"


class UsageError(ProgrammingError):
    """A wrong command line, URL or argument."""

    default_exit_status = 2


class KeyringError(OperationalError):
    """The key is missing, locked or belongs to another database."""

    default_sqlstate = "28000"
    default_exit_status = 3


class TamperError(DatabaseError):
    """What the store served does not verify: changed, moved, missing, invented or rolled back.

    Nothing that was read under this error may be trusted, and encdb returns none of it.
    """

    default_sqlstate = "XX001"
    default_exit_status = 4


class ConflictError(OperationalError):
    """Another transaction changed the same rows first. Repeating the transaction may succeed."""

    default_sqlstate = "40001"


class StoreUnavailable(OperationalError):  # noqa: N818 - it names a state that may pass.
    """The store cannot be used now: locked, read only, full, missing, not a store."""


class FormatError(OperationalError):
    """The store was written in a storage format that this version does not read."""


_E = TypeVar("_E", bound=EncdbError)


def err(kind: type[_E], code: str, message: str, fix: str | None = None) -> _E:
    """Build the error of one catalogue entry, for a ``raise`` statement.

    Args:
        kind: the class to raise.
        code: an entry of the catalogue. A test finds codes that are missing there; at run time an
            unknown code is carried along, so that it never hides the failure it reports.
        message: what is wrong, in one line.
        fix: a more exact remedy than the catalogue's.
    """
    return kind(message, code=code, fix=fix)
