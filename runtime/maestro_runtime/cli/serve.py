"""`maestro-runtime serve`: the daemon."""

import sys
from typing import TYPE_CHECKING, Any

import click

from maestro_runtime.cli._options import state_dir_option

if TYPE_CHECKING:
    from maestro_runtime.cli._exit import ExitCode
    from maestro_runtime.config.daemon import DaemonSettings


@click.command("serve", epilog="Example: maestro-runtime serve --state-dir ./state")
@state_dir_option
@click.option(
    "--socket",
    metavar="PATH",
    help="Where other processes reach it (MAESTRO_SOCKET; default <state>/maestro.sock).",
)
@click.option(
    "--config",
    metavar="FILE",
    help="What it works with (default /etc/maestro/maestro.toml, if there is one).",
)
@click.option(
    "--drain-timeout",
    metavar="SECONDS",
    help="How long attempts in flight may take to end at SIGTERM (default 30).",
)
@click.option(
    "--check",
    is_flag=True,
    help="Only look whether it could start, and which sessions could go on; change nothing.",
)
def command(*, check: bool, **flags: Any) -> None:
    """Own a state, go on with what was under way, and serve other processes until SIGTERM.

    SIGTERM lets attempts in flight end, a second one interrupts them; either way the exit code is
    0. SIGHUP reads the configuration again, all of it or nothing. SIGUSR1 logs what every actor and
    thread is doing.

    --check exits 2 for a configuration that is wrong, 3 if something is in the way, 9 for damage;
    it may be used beside a daemon.
    """
    import logging
    import os
    from functools import partial
    from pathlib import Path

    from maestro_runtime.cli._printed import printed
    from maestro_runtime.config.daemon import DaemonFlags, resolve_daemon
    from maestro_runtime.config.errors import SettingInvalid
    from maestro_runtime.config.tickets import resolve_ticket_settings
    from maestro_runtime.daemon import Daemon
    from maestro_runtime.log import configure_logs
    from maestro_runtime.options import RuntimeOptions
    from maestro_runtime.tickets import configured_sink

    settled = partial(resolve_daemon, DaemonFlags(**flags), os.environ)
    settings = settled()
    if check:
        sys.exit(_checked(settings))
    sink = configured_sink(resolve_ticket_settings(os.environ), settings.state_dir.value)
    as_json, level = settings.log_format.value == "json", settings.log_level.value
    log_file = settings.log_file
    try:
        redactor = configure_logs(
            as_json=as_json,
            level=level,
            secrets=sink.secrets,
            file=Path(log_file.value) if log_file.value else None,
        )
    except OSError as error:
        rule = f"a file that can be written ({error.strerror})"
        raise SettingInvalid(log_file.source, rule, log_file.value) from error
    # Functions of personas run in this process, and nobody looks at what it says on stdout.
    said = logging.getLogger("maestro_runtime.printed")
    with printed(partial(said.info, "%s"), redactor):
        Daemon(settled, RuntimeOptions(tickets=sink, redactor=redactor), os.environ).run()


def _checked(settings: "DaemonSettings") -> "ExitCode":
    """Look at everything that a start would need, and print what was found."""
    import os

    from maestro_runtime.cli._findings import Finding, print_findings
    from maestro_runtime.cli._installation import examine_installation
    from maestro_runtime.cli._machine import examine_machine
    from maestro_runtime.config.daemon import explain_daemon
    from maestro_runtime.config.tickets import resolve_ticket_settings
    from maestro_runtime.prices import open_prices

    state_dir = settings.state_dir.value
    # What is wrong with these is raised, as it is at a start.
    resolve_ticket_settings(os.environ)
    open_prices(state_dir, settings.policy.value.prices)
    sources = sorted({value.source for value in explain_daemon(settings)})
    findings = [
        Finding("configuration", "ok", ", ".join(sources)),
        *examine_machine(state_dir),
        *examine_installation(settings),
    ]
    return print_findings(findings, as_json=False)
