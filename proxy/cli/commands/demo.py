"""``encdb demo``: three questions, their answers, and what the store received for each."""

from __future__ import annotations

import click


@click.command()
@click.option(
    "--keep",
    metavar="FOLDER",
    type=click.Path(file_okay=False),
    help="Leave the store, its keyring and the made-up data in FOLDER, which must not exist.",
)
def demo(keep: str | None) -> None:
    """Make a store of made-up data in a temporary folder and show what it can and cannot see."""
    from proxy.cli.demo import run_demo

    run_demo(keep)
