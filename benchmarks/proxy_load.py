"""One program of the load: `python proxy_load.py SOCKET DIRECTORY NUMBER COUNT`.

It connects, says so, waits for a line, submits COUNT sessions of one task each, and prints when all
were acknowledged and when all had ended, in seconds since the epoch.
"""

import json
import sys
import time
from collections import deque
from pathlib import Path
from typing import Final

from maestro_runtime import SessionOrder
from maestro_runtime.client import connect
from maestro_runtime.wire.session_order import start_of
from noop_session import team_of

IN_FLIGHT_MAX: Final = 32
"""Submissions of one program that wait for their acknowledgement."""


def main(socket: str, directory: str, number: str, count: str) -> None:
    """Submit, and wait."""
    team = team_of(1, 1)
    with connect(socket) as client:
        print("connected", flush=True)
        sys.stdin.readline()
        names = [f"p{number}-{place}" for place in range(int(count))]
        waiting: deque[object] = deque()
        for name in names:
            order = SessionOrder(team, name, Path(directory, name))
            waiting.append(client.supervisor.carry_out(start_of(order)))
            if len(waiting) >= IN_FLIGHT_MAX:
                waiting.popleft().get()  # type: ignore[attr-defined] # a future
        for future in waiting:
            future.get()  # type: ignore[attr-defined] # a future
        acknowledged = time.time()
        for end in [client.ended(name) for name in names]:
            end.get()
        print(json.dumps({"acknowledged": acknowledged, "ended": time.time()}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
