"""What a daemon hears of signals."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from maestro_runtime.daemon._signals import HEARD, Signals


@pytest.mark.parametrize("number", HEARD, ids=lambda number: number.name)
def test_a_signal_that_comes_while_the_daemon_begins_to_hear_is_not_lost(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_handler = signal.signal

    def set_and_send(heard: signal.Signals, handler: Callable[..., Any]) -> Any:
        before = set_handler(heard, handler)
        if heard == number:
            os.kill(os.getpid(), number)
        return before

    monkeypatch.setattr(signal, "signal", set_and_send)
    with Signals() as signals:
        monkeypatch.undo()

        assert signals.wait(0) == [number]
