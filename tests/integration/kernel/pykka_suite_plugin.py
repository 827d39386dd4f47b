"""Pytest plugin for Pykka's own suite: runs it on actors that live on a lane.

Loaded with `-p` into the process that runs the suite, see `test_pykka_suite.py`.
"""

import dataclasses
import os
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from maestro_actors.kernel import AsyncLane, Lane, LaneActor, LaneFuture, ThreadLane

KINDS: dict[str, type[ThreadLane | AsyncLane]] = {"thread": ThreadLane, "async": AsyncLane}
LANE: Lane = KINDS[os.environ["PYKKA_SUITE_LANE"]]("pykka")

made: list[None] = []


class SuiteActor(LaneActor):
    lane = LANE

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        made.append(None)
        super().__init__(*args, **kwargs)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> None:
    """Put our actor and future into the parameter of the suite's `runtime` fixture."""
    if fixturedef.argname == "runtime":
        request.param = dataclasses.replace(
            request.param, name=LANE.name, actor_class=SuiteActor, future_class=LaneFuture
        )


@pytest.fixture
def mocker() -> Iterator[SimpleNamespace]:
    """The part of pytest-mock that the suite uses."""
    with ExitStack() as stack:

        def patch_object(*args: Any, **kwargs: Any) -> Any:
            return stack.enter_context(mock.patch.object(*args, **kwargs))

        yield SimpleNamespace(
            MagicMock=mock.MagicMock,
            Mock=mock.Mock,
            NonCallableMock=mock.NonCallableMock,
            patch=SimpleNamespace(object=patch_object),
        )


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many of our actors took part."""
    LANE.close()
    terminalreporter.write_line(f"{len(made)} actors on {type(LANE).__name__}")
