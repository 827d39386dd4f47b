"""Which state a command means, and whom it waits for who does not answer yet."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack

import pytest

from command_line import CommandLine
from maestro_runtime import Runtime, RuntimeOptions, open_runtime
from maestro_runtime.cli import _contact
from maestro_runtime.cli._access import open_desk, open_owner, open_state
from maestro_runtime.cli._session_run import bring_to_end
from maestro_runtime.client import Patience
from maestro_runtime.daemon import reachable
from maestro_runtime.wire.line import Line
from maestro_runtime.wire.orders import ResumeSession
from maestro_storage import Store
from maestro_storage.errors import StateOwned
from running import killed_at_the_end, wait_for_line

WAITS = "and does not answer; waiting for up to 5 s"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize(
    "arguments",
    [
        ("session", "list"),
        ("breaker", "reset", "rehearsal"),
        ("run", "team.toml"),
        ("state", "compact"),
        ("state", "leave-safe-mode"),
    ],
    ids=" ".join,
)
def test_a_socket_that_is_all_that_is_named_and_does_not_answer_is_an_error(
    cli: CommandLine, arguments: tuple[str, ...]
) -> None:
    cli.team()
    del cli.environment["MAESTRO_STATE_DIR"]
    cli.environment["MAESTRO_SOCKET"] = "nobody.sock"

    refused = cli(*arguments)

    assert refused.returncode == 3, refused.stderr
    assert "MAESTRO_SOCKET names it; to look at a state that nobody serves: --sta" in refused.stderr
    assert f"no daemon answers at socket '{cli.directory}/nobody.sock': No such" in refused.stderr


def test_beside_a_socket_that_does_not_answer_a_state_that_is_named_too_is_meant_and_told(
    cli: CommandLine,
) -> None:
    with open_runtime(cli.state_dir):
        pass
    cli.environment["MAESTRO_SOCKET"] = "nobody.sock"

    listed = cli("breaker", "list", "--json")
    silent = cli("breaker", "list", "--json", "--state-dir", cli.state_dir)

    assert listed.returncode == 0
    assert listed.stderr == (
        f"no daemon answers at {cli.directory}/nobody.sock (MAESTRO_SOCKET): "
        f"what is in {cli.state_dir} is meant\n"
    )
    assert (silent.returncode, silent.stderr) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [("session", "list"), ("run", "team.toml"), ("breaker", "reset", "x")],
    ids=" ".join,
)
def test_who_has_a_state_for_a_moment_is_waited_for(
    cli: CommandLine, arguments: tuple[str, ...], stack: ExitStack
) -> None:
    cli.team()
    with open_runtime(cli.state_dir):
        pass
    view = stack.enter_context(Store.inspect(cli.state_dir))

    with killed_at_the_end(cli.start(*arguments)) as waiting:
        wait_for_line(waiting, WAITS)
        view.close()
        _, said = waiting.communicate(timeout=50)

    assert "is owned" not in said
    assert waiting.returncode == (5 if "breaker" in arguments else 0), said


def test_an_owner_that_does_not_listen_yet_is_waited_for_and_asked(
    cli: CommandLine, stack: ExitStack
) -> None:
    runtime = stack.enter_context(Runtime(cli.state_dir, RuntimeOptions()))

    with killed_at_the_end(cli.start("session", "list")) as waiting:
        wait_for_line(waiting, WAITS)
        with reachable(runtime):
            _, said = waiting.communicate(timeout=50)

    assert waiting.returncode == 0, said


def test_an_owner_that_hangs_on_its_way_is_named_after_a_while(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MAESTRO_SOCKET", raising=False)
    monkeypatch.setattr(_contact, "PATIENCE", Patience(coming_seconds=0.01))

    with Store.open(cli.state_dir), pytest.raises(StateOwned):  # noqa: SIM117 - the inner raises
        with open_owner(str(cli.state_dir)):
            pass

    assert capsys.readouterr().err == ""


def test_who_wants_to_run_something_waits_once_for_an_owner_that_hangs(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str | None] = []

    def reached(state_dir: str | None) -> Line:
        looked.append(state_dir)
        return reached_in_time(state_dir)

    reached_in_time = _contact.reached
    monkeypatch.delenv("MAESTRO_SOCKET", raising=False)
    monkeypatch.setattr(_contact, "PATIENCE", Patience(coming_seconds=0.01))
    monkeypatch.setattr(_contact, "reached", reached)

    with Store.open(cli.state_dir), pytest.raises(StateOwned):
        bring_to_end(str(cli.state_dir), ResumeSession(session_id="s"))

    assert looked == [str(cli.state_dir)]


@pytest.mark.parametrize("look", [open_owner, open_state, open_desk])
def test_a_program_that_embeds_a_runtime_and_does_not_listen_is_named_at_once(
    cli: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
    look: Callable[[str], AbstractContextManager[object]],
) -> None:
    def wait(_event: threading.Event, pause_seconds: float) -> bool:
        raise AssertionError(f"waited for {pause_seconds} s")

    monkeypatch.delenv("MAESTRO_SOCKET", raising=False)
    monkeypatch.setattr(_contact, "PATIENCE", Patience(wait=wait))

    with open_runtime(cli.state_dir), pytest.raises(StateOwned, match=r", which does not listen$"):  # noqa: SIM117 - the inner raises
        with look(str(cli.state_dir)):
            pass
