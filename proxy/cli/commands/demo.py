"""``encdb demo``: three questions, their answers, and what the store received for each."""

from __future__ import annotations

import click

from proxy.cli.options import format_options
from proxy.cli.output import Format, Output


@click.command()
@click.option(
    "--keep",
    metavar="FOLDER",
    type=click.Path(file_okay=False),
    help="Leave the store, its keyring and the made-up data in FOLDER, which must not exist.",
)
@format_options
def demo(*, keep: str | None, form: Format) -> None:
    """Make a store of made-up data in a temporary folder and show what it can and cannot see."""
    from proxy.cli.demo import run_demo

    with Output(form) as output:
        run_demo(output, keep)
