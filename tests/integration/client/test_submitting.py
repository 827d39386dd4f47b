"""Many submissions at once: each returns once it is durable, and they share commits."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon_team import TEAM
from held_commits import BOUND_SECONDS, HeldCommits
from hosted import HASTY, Hosted
from maestro_runtime import SessionOrder, connect_async
from maestro_storage.errors import KeyTooLong
from maestro_storage.records import EventRecord

COUNT = 20


@pytest.fixture
def commits() -> Iterator[HeldCommits]:
    commits = HeldCommits()
    yield commits
    commits.let_go()


@pytest.fixture
def hosted(tmp_path: Path, commits: HeldCommits) -> Iterator[Hosted]:
    hosted = Hosted(tmp_path)
    commits.runtime = hosted.start(commits)
    yield hosted
    commits.let_go()
    hosted.stop()


def test_submissions_that_are_gathered_share_commits_and_keep_their_order(
    hosted: Hosted, commits: HeldCommits, tmp_path: Path
) -> None:
    names = [f"s{number:02}" for number in range(COUNT)]
    begun: list[str] = []

    def note(event: EventRecord) -> None:
        if event.kind == "session_started":
            begun.append(event.session_id)

    hosted.runtime.subscribe(note)

    async def program() -> None:
        async with connect_async(hosted.socket, options=HASTY) as client:
            commits.hold()
            orders = [SessionOrder(TEAM, name, tmp_path / name) for name in names]
            submitted = asyncio.gather(*(client.submit(order) for order in orders))
            await asyncio.to_thread(commits.wait_for_one)
            # Refused without a commit, once the daemon has taken all orders before it.
            with pytest.raises(KeyTooLong):
                await client.keep_values({"x" * 1000: b"1"})
            assert not submitted.done()
            commits.let_go()
            assert [session.session_id for session in await submitted] == names

    asyncio.run(asyncio.wait_for(program(), BOUND_SECONDS))

    assert begun == names
    # Those that were there when the first commit began, and all.
    assert len({count for count in commits.sessions if count}) <= 2
