"""The root command. Sub-commands are loaded when they are called, so that help is quick."""

import importlib
import io
import os
import re
from typing import Final

import click

from maestro_runtime import __version__
from maestro_runtime.cli._exit import ExitCode, explain_error
from maestro_runtime.cli._output import prepare_streams, say

COMPLETE_VARIABLE: Final = "_MAESTRO_RUNTIME_COMPLETE"
"""By which a shell asks for completions; the name is the one that click derives."""

_ENDLESS: Final = re.compile(r"[^\s/]{256,}")
"""What cannot be a name, nor a part of a path: that has 255 bytes at most."""

_COMMANDS: Final = {
    "breaker": ("breaker", "The circuit breakers of the engines: list, show, open, reset."),
    "checkpoint": (
        "checkpoint",
        "Checkpoints: look, compare, prune, export, import.",
    ),
    "completion": ("completion", "Print what makes a shell complete commands and names."),
    "config": ("config", "What is configured, and where it came from."),
    "demo": ("demo", "Run a team, kill it in the middle of a phase, and resume it."),
    "doctor": ("doctor", "Check whether this machine can keep state safely."),
    "events": ("events", "What has happened in all sessions, and what happens."),
    "help-needed": ("help_needed", "Tasks that wait for a person, and answers to them."),
    "metrics": ("metrics", "Print figures for Prometheus."),
    "run": ("run", "Run a team, or resume where it was."),
    "serve": ("serve", "Own a state and serve it to other processes: the daemon."),
    "session": ("session", "List, show, resume and fork sessions."),
    "state": ("state", "The state directory: info, verify, backup, compact."),
    "tokens": ("tokens", "What sessions and personas have spent."),
    "top": ("top", "What runs and what waits for what, now and as it goes on."),
    "version": ("version", "Print the versions of the runtime and of what it stands on."),
}
"""Name of each command: the module that defines it, and its line in the help."""


class _LazyGroup(click.Group):
    """A group that imports a command's module only to run it or to show its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"maestro_runtime.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        if COMPLETE_VARIABLE not in os.environ:
            return command
        from maestro_runtime.cli._completion import completable

        return completable(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            # click knows only the commands it has loaded, and so has none to suggest.
            raise click.NoSuchCommand(
                error.command_name, possibilities=_COMMANDS, ctx=ctx
            ) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: maestro-runtime run team.toml --state-dir ./state\n\n"
    "Exit codes: 0 done, 1 contract not fulfilled, 2 bad usage or team file, 3 cannot "
    "start, 4 state owned by another process, 5 not found, 6 conflict, 7 token budget exceeded, "
    "8 a person is needed, 9 damaged state, 10 paused, 74 storage failed, 75 try later, "
    "124 timed out, 130 and 143 interrupted.",
)
@click.version_option(__version__, package_name="maestro-runtime")
def _root() -> None:
    """Run teams of AI personas durably: what was acknowledged survives kill -9."""


def run_command() -> int:
    """Run the command that the process was started with; return its exit code."""
    prepare_streams()
    code: int | None
    try:
        code = _root.main(prog_name="maestro-runtime", standalone_mode=False)
    except click.exceptions.Abort:
        code = ExitCode.INTERRUPTED
    except click.ClickException as error:
        with io.StringIO() as text_of_error:
            error.show(file=text_of_error)
            say(_brief(text_of_error.getvalue().rstrip().expandtabs(4)))
        code = ExitCode.USAGE
    except Exception as error:  # noqa: BLE001 - the last resort: every error gets text and code
        code, text = explain_error(error)
        say(_brief(_without_secrets(text)))
    return code or ExitCode.DONE


def _brief(text: str) -> str:
    """Return what an error says with what is too long for a name cut short: it echoes values."""
    return _ENDLESS.sub(lambda word: f"{word[0][:60]}... ({len(word[0])} characters)", text)


def _without_secrets(text: str) -> str:
    """Return what an error says without the environment's secrets: it may come from anywhere."""
    from maestro_runtime.redaction import Redactor, environment_secrets

    return Redactor(environment_secrets(os.environ)).clean(text)
