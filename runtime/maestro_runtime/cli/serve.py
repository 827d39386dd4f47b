"""`maestro-runtime serve`: the daemon."""

from typing import Any

import click

from maestro_runtime.cli._options import state_dir_option


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
def command(**flags: Any) -> None:
    """Own a state, go on with what was under way, and serve other processes until SIGTERM.

    SIGTERM lets attempts in flight end, a second one interrupts them; either way the exit code is
    0. SIGHUP reads the configuration again, all of it or nothing. SIGUSR1 logs what every actor and
    thread is doing.
    """
    import os
    from functools import partial

    from maestro_runtime.config.daemon import DaemonFlags, resolve_daemon
    from maestro_runtime.config.tickets import resolve_ticket_settings
    from maestro_runtime.daemon import Daemon
    from maestro_runtime.log import configure_logs
    from maestro_runtime.options import RuntimeOptions
    from maestro_runtime.tickets import configured_sink

    settled = partial(resolve_daemon, DaemonFlags(**flags), os.environ)
    settings = settled()
    sink = configured_sink(resolve_ticket_settings(os.environ), settings.state_dir.value)
    as_json, level = settings.log_format.value == "json", settings.log_level.value
    redactor = configure_logs(as_json=as_json, level=level, secrets=sink.secrets)
    Daemon(settled, RuntimeOptions(tickets=sink, redactor=redactor), os.environ).run()
