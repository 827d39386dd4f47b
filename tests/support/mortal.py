"""One life of a run whose provider, ticket sink and observer are processes of their own: `main`."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from committer import Committer, appoint
from maestro_actors.help import help_desk
from maestro_runtime import Runtime, RuntimeOptions, SessionOrder
from maestro_runtime.config import Flags, load_team, resolve_settings
from maestro_runtime.config.tickets import WebhookSettings
from maestro_runtime.daemon import reachable
from maestro_runtime.redaction import Secret
from maestro_runtime.testing import KillAtCommit, When
from maestro_runtime.tickets import WebhookSink
from maestro_storage import StoreOptions
from observer import Teller
from outside import SECRET, Outside
from person import Decision, Deed, Person

SESSION: Final = "mortal"
RUN_SECONDS_MAX: Final = 20.0


@dataclass(frozen=True)
class Places:
    """Where a run has everything, and who commits it."""

    team: str
    state: str
    output: str
    sink_url: str
    observer: str
    """Its socket."""
    answers: dict[str, Decision] = field(default_factory=dict)
    """What a person says of each task that may need help."""
    committer: Committer = "disk"

    @classmethod
    def of(cls, directory: Path, world: Outside) -> "Places":
        """Return the places of the run in a directory; its team file is to be written."""
        return cls(
            team=str(directory / "team.toml"),
            state=str(directory / "state"),
            output=str(directory / "output"),
            sink_url=world.sink_url,
            observer=str(world.observer),
        )

    @property
    def state_dir(self) -> Path:
        """The state directory."""
        return Path(self.state)


def main(
    places: Places, when: When = "never", number: int = 0, deeds: tuple[Deed, ...] = ()
) -> None:
    """Run the session until the commit where it dies, or to its end, and tell how it ended.

    `when` is "before" (everything is written, nothing durable), "after" (durable, nothing
    delivered) or "never".
    """
    with (
        telling(places) as teller,
        opened(places, when, number) as runtime,
        reachable(runtime, hosts=True),
    ):
        run(places, runtime, teller, deeds)


def telling(places: Places) -> Teller:
    """Connect to the observer; before the runtime is opened, which tells until it is closed."""
    return Teller(Path(places.observer))


def opened(places: Places, when: When = "never", number: int = 0) -> Runtime:
    """Open the runtime."""
    vars(help_desk)["BACKOFF_SECONDS"] = 0.1
    appoint(places.committer)
    options = RuntimeOptions(
        observer=KillAtCommit(number, when),
        tickets=WebhookSink(WebhookSettings(Secret(places.sink_url), Secret(SECRET))),
        store=StoreOptions(ballast_bytes=1 << 16),
    )
    return Runtime(places.state_dir, options)


def run(places: Places, runtime: Runtime, teller: Teller, deeds: tuple[Deed, ...] = ()) -> None:
    """Run the session and its forks to their end, with what a person does to them by the way."""
    loaded = load_team(places.team, settings=resolve_settings(Flags(), {}))
    runtime.subscribe(teller.event)
    person = Person(runtime, places.answers)
    person.begin(SessionOrder(loaded.team, SESSION, Path(places.output)))
    person.act(deeds)
    reports = person.see_through()
    for report in reports:
        if not runtime.settle_tickets(report.session_id, RUN_SECONDS_MAX):
            sys.exit("not all tickets and alerts are delivered")
    for report in reports:
        teller.result(report)
