from typing import Any

import pytest

from maestro_actors.kernel import ActorSystem, AsyncLane, LaneActor, VirtualClock
from maestro_actors.message_actor import MessageActor

BOUND_SECONDS = 20.0


class Leaver(MessageActor):
    """Ends in the way it is told to."""

    def handle(self, message: Any) -> None:
        self.end(unheard=message == "unheard")


class Watcher(LaneActor):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Any] = []

    def on_receive(self, message: Any) -> list[Any]:
        if message == "?":
            return self.heard
        self.heard.append(message)
        return []


@pytest.mark.parametrize(("way", "heard"), [("heard", ["it is gone"]), ("unheard", [])])
def test_who_watches_is_not_told_of_an_actor_that_ends_unheard(way: str, heard: list[str]) -> None:
    lane = AsyncLane("test")
    system = ActorSystem(lane, VirtualClock())
    try:
        watcher = system.spawn(Watcher, address="watcher")
        system.spawn(Leaver, address="leaver")
        system.watch("leaver", "watcher", "it is gone")

        system.deliver("leaver", way)
        system.stop("leaver").get(timeout=BOUND_SECONDS)

        assert watcher.ask("?", timeout=BOUND_SECONDS) == heard
    finally:
        lane.close()
