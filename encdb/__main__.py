"""The command ``encdb``, also as ``python -m encdb``.

It answers ``--version`` by itself, because that should cost no more than starting Python. The commands of
a server never load the half that handles keys; everything else is the command line of that half.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from . import __version__, load_trusted
from .errors import EncdbError

if TYPE_CHECKING:
    from collections.abc import Sequence


_OF_THE_SERVER = ("serve", "token")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in (["--version"], ["-V"]):
        sys.stdout.write(f"encdb {__version__}\n")
        return 0
    if given[:1] and given[0] in _OF_THE_SERVER:
        from .stores.server import console

        return console.main(given)
    try:
        cli = load_trusted("proxy.cli.main")
    except EncdbError as error:
        sys.stderr.write(f"encdb: {error} [{error.code}]\n")
        return error.exit_status
    return int(cli.main(given) or 0)


if __name__ == "__main__":
    sys.exit(main())
