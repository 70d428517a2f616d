"""The errors for what a store served and must not have served."""

from __future__ import annotations

from encdb.errors import TamperError, err


def tampered(what: str, fix: str | None = None) -> TamperError:
    """The one error for anything the store served that does not verify."""
    return err(TamperError, "E_TAMPERED", what, fix)


def rolled_back(what: str) -> TamperError:
    """The error for a state older than one this client has seen."""
    return err(TamperError, "E_ROLLED_BACK", what)
