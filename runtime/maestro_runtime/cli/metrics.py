"""`maestro-runtime metrics`."""

import click

from maestro_runtime.cli._access import open_owner, open_records
from maestro_runtime.cli._options import state_dir_option
from maestro_runtime.cli._output import print_lines


@click.command("metrics", epilog="Example: maestro-runtime metrics --state-dir ./state")
@state_dir_option
def command(state_dir: str | None) -> None:
    """Print figures for Prometheus: those of the process that owns the state, or the records alone.

    What only a process that works can tell (queues, commits, clients) is not in the latter.
    """
    with open_owner(state_dir) as owner:
        text = _recorded(state_dir) if owner is None else owner.metrics()
    print_lines(text.splitlines())


def _recorded(state_dir: str | None) -> str:
    from maestro_runtime.metrics.exposition import exposition
    from maestro_runtime.metrics.recorded import recorded_metrics, store_metrics
    from maestro_runtime.metrics.tally import tally_of
    from maestro_storage import StateView

    with open_records(state_dir) as store:
        metrics = recorded_metrics(store, tally_of(store))
        if isinstance(store, StateView):
            metrics += store_metrics(store.info(), store.reader_slots())
    return exposition(metrics)
