"""``encdb init``: make an empty store and the keyring that opens it."""

from __future__ import annotations

import click

from encdb.errors import UsageError, err
from proxy.cli.opening import new_passphrase
from proxy.cli.options import Access, format_options, key_options, store_argument
from proxy.cli.output import Format, Output


@click.command()
@store_argument
@click.option(
    "--no-passphrase",
    is_flag=True,
    help="Leave the key in the keyring file unprotected; whoever reads the file has the key.",
)
@key_options
@format_options
def init(*, store: str, no_passphrase: bool, access: Access, form: Format) -> None:
    """Make an empty store, and a new keyring for it.

    The keyring is the only way to read the store. It goes to --keyring, else ENCDB_KEYRING, else your
    configuration folder, and is never put into the store. Losing it loses the data.
    """
    from proxy import opening

    if no_passphrase and access.passphrase_file is not None:
        raise err(
            UsageError, "E_USAGE", "--no-passphrase and --passphrase-file contradict each other"
        )
    passphrase = (
        None
        if no_passphrase
        else new_passphrase(
            access, fix="Pass --passphrase-file FILE, set ENCDB_PASSPHRASE, or use --no-passphrase"
        )
    )
    made = opening.create(store, access.keyring, passphrase)
    # A path is shown as it was given; a URL may hold a password.
    shown = made.url if "://" in store else store
    with Output(form) as output:
        if not output.for_people:
            columns = ("store", "database", "keyring", "protected")
            output.result(
                columns,
                [(shown, made.database_id.hex(), str(made.keyring_path), made.protected)],
            )
            return
        output.text(f"Store:    {shown}")
        output.text(f"Keyring:  {made.keyring_path}")
        if not made.protected:
            output.text(
                "Whoever can read the keyring file can read the store: it has no passphrase."
            )
            output.text("Losing the keyring loses the data. Keep a copy of it somewhere safe.")
        else:
            output.text("Losing the keyring or its passphrase loses the data. Keep copies of both.")
