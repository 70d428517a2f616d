"""``encdb accept``: go on with a backup that the user has restored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from encdb.errors import UsageError, err
from proxy.cli.failure import one_line, say
from proxy.cli.opening import expected, has_terminal, passphrase
from proxy.cli.options import Access, access_options, format_options, store_argument
from proxy.cli.output import Format, Output
from proxy.cli.progress import Progress

if TYPE_CHECKING:
    from proxy.accepting import Inspection


@click.command()
@store_argument
@click.option("--yes", is_flag=True, help="Accept without asking.")
@access_options
@format_options
def accept(*, store: str, yes: bool, access: Access, form: Format) -> None:
    """Accept, once, a store that is older than what this client has seen.

    A restored backup looks like a store that cheats, and is refused until you say that it was you. The
    whole store is checked first; then what was seen and what is served is shown, and the record of the
    last state seen is replaced. Each client with such a record has to accept for itself.

    Do not run this to be rid of an error that you cannot explain. End other programs that use the store
    first, since they remember what they have seen.
    """
    from proxy import accepting

    with Progress("checking", "records") as progress:
        found = accepting.inspect(
            store, access.keyring, passphrase(access), expect=expected(access), progress=progress
        )
    for notice in found.notices:
        say(f"notice: {notice}")
    with Output(form) as output:
        output.result(
            ("what", "seen", "served", "note"),
            [(one.what, one.seen, one.served, one.note) for one in found.differences],
        )
    if found.refusal is None:
        say("There is nothing to accept: the store holds everything that this client has seen.")
        return
    say(one_line(f"Refused so far: {found.refusal.message}"))
    if not yes:
        _confirm()
    found.accept()
    say(_accepted(found))


def _confirm() -> None:
    if not has_terminal():
        raise err(
            UsageError,
            "E_NO_TERMINAL",
            "Accepting an older state has to be confirmed",
            "Pass --yes",
        )
    if not click.confirm("Did you restore this store yourself, and accept it as it is?", err=True):
        say("Nothing was changed.")
        raise click.exceptions.Exit(1)


def _accepted(found: Inspection) -> str:
    return (
        f"Accepted: catalog version {found.served.catalog_version}, "
        f"{len(found.served.tables)} table{'' if len(found.served.tables) == 1 else 's'}. "
        "What is older than this is refused from now on."
    )
