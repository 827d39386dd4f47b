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
    "--drain-timeout",
    metavar="SECONDS",
    help="How long attempts in flight may take to end at SIGTERM (default 30).",
)
def command(**flags: Any) -> None:
    """Own a state, go on with what was under way, and serve other processes until SIGTERM.

    SIGTERM lets attempts in flight end, a second one interrupts them; either way the exit code is
    0. SIGUSR1 logs what every actor and thread is doing.
    """
    import logging
    import os

    from maestro_runtime.config.daemon import DaemonFlags, resolve_daemon
    from maestro_runtime.config.tickets import resolve_ticket_settings
    from maestro_runtime.daemon import Daemon
    from maestro_runtime.log import configure_logs
    from maestro_runtime.options import RuntimeOptions
    from maestro_runtime.tickets import configured_sink

    settings = resolve_daemon(DaemonFlags(**flags), os.environ)
    configure_logs(as_json=False)
    logging.getLogger("maestro_runtime").setLevel(logging.INFO)
    sink = configured_sink(resolve_ticket_settings(os.environ), settings.state_dir.value)
    Daemon(settings, RuntimeOptions(tickets=sink), os.environ).run()
