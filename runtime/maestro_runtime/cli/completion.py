"""`maestro-runtime completion`."""

import click

from maestro_runtime.cli._output import print_lines


@click.command(
    "completion", epilog='Example: eval "$(maestro-runtime completion bash)"  # in ~/.bashrc'
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands, options, sessions, contracts and phases."""
    from click.shell_completion import get_completion_class

    from maestro_runtime.cli._main import COMPLETE_VARIABLE

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"shell {shell!r} is not known")
    root = ctx.find_root().command
    print_lines(kind(root, {}, "maestro-runtime", COMPLETE_VARIABLE).source().splitlines())
