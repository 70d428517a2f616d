"""``encdb keyring``: copy a keyring out for safe keeping, and back in on another machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from encdb.errors import UsageError, err
from proxy.cli.opening import ask_new, database_id, passphrase, read_passphrase
from proxy.cli.options import Access, format_options, key_options, store_argument
from proxy.cli.output import Format, Output

if TYPE_CHECKING:
    from pathlib import Path


@click.group()
def keyring() -> None:
    """Copy the keyring of a store out, and back in on another machine."""


@keyring.command("export")
@store_argument
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False))
@click.option(
    "--new-passphrase",
    is_flag=True,
    help="Protect the copy by another passphrase, which is asked for.",
)
@click.option(
    "--new-passphrase-file",
    metavar="FILE",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Protect the copy by the passphrase in the first line of FILE.",
)
@key_options
@format_options
def export(
    *,
    store: str,
    file: str,
    new_passphrase: bool,
    new_passphrase_file: str | None,
    access: Access,
    form: Format,
) -> None:
    """Copy the keyring of STORE to FILE, which must not exist.

    The copy opens with the same passphrase unless a new one is given. Without any passphrase the copy
    is the key: keep it accordingly.
    """
    from proxy import keyring as keyrings
    from proxy import locations

    if new_passphrase and new_passphrase_file is not None:
        raise err(
            UsageError,
            "E_USAGE",
            "--new-passphrase and --new-passphrase-file contradict each other",
        )
    source = locations.keyring_path(database_id(store), access.keyring)
    new: str | None = None
    if new_passphrase_file is not None:
        new = read_passphrase(new_passphrase_file)
    elif new_passphrase:
        new = ask_new(fix="Pass --new-passphrase-file FILE")
    written = keyrings.export_keyring(
        source, file, passphrase=passphrase(access), new_passphrase=new
    )
    _tell(form, store, written, "Keyring copied to")


@keyring.command("import")
@store_argument
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False))
@key_options
@format_options
def import_(*, store: str, file: str, access: Access, form: Format) -> None:
    """Put the keyring in FILE where the other commands find it for STORE.

    It goes to --keyring, else ENCDB_KEYRING, else your configuration folder, and never replaces another one.
    """
    from proxy import keyring as keyrings
    from proxy import locations

    identity = database_id(store)
    given = None if access.passphrase_file is None else read_passphrase(access.passphrase_file)
    placed = keyrings.import_keyring(
        file,
        locations.keyring_path(identity, access.keyring),
        database_id=identity,
        passphrase=given,
    )
    _tell(form, store, placed, "Keyring placed at")


def _tell(form: Format, store: str, path: Path, sentence: str) -> None:
    with Output(form) as output:
        if output.for_people:
            output.text(f"{sentence} {path}")
        else:
            output.result(("store", "keyring"), [(store, str(path))])
