"""``encdb completion``: a script that teaches a shell the commands and options."""

from __future__ import annotations

import click

from proxy.cli.output import Format, Output


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a completion script for your shell.

    \b
    bash:  encdb completion bash > ~/.local/share/bash-completion/completions/encdb
    zsh:   encdb completion zsh > a file named _encdb in a folder of your fpath
    fish:  encdb completion fish > ~/.config/fish/completions/encdb.fish
    """  # noqa: D301 - click wants a real backspace before a block.
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None, "click knows every shell the argument allows"
    root = ctx.find_root()
    with Output(Format.TABLE) as output:
        output.text(found(root.command, {}, "encdb", "_ENCDB_COMPLETE").source().rstrip("\n"))
