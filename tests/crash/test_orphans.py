"""What a killed runtime leaves running: nothing."""

import fcntl
import json
import os
import selectors
import signal
import textwrap
from pathlib import Path

from command_line import CommandLine

TOOL = textwrap.dedent(
    """
    import fcntl, json, os, subprocess, sys, threading
    from pathlib import Path

    if os.environ["MAESTRO_ATTEMPT"] == "1":
        # Held by this process and by a child that has left its session, until both are dead.
        lock = open("alive.lock", "w")
        fcntl.flock(lock, fcntl.LOCK_SH)
        os.set_inheritable(lock.fileno(), True)
        subprocess.Popen(["sleep", "600"], start_new_session=True, close_fds=False)
        usage = {"usage": {"input_tokens": 30, "output_tokens": 12}}
        Path(os.environ["MAESTRO_RESULT"]).write_text(json.dumps(usage))
        Path("ready").touch()
        threading.Event().wait()
    Path("note.md").write_text("done")
    """
)


def test_the_tree_of_a_command_dies_with_a_killed_runtime_and_its_usage_is_booked(
    cli: CommandLine,
) -> None:
    (cli.directory / "tool.py").write_text(TOOL)
    team = cli.team('engine = "command"\ncommand = { argv = ["python3", "tool.py"] }')
    output = cli.directory / "output"
    output.mkdir()
    lock = os.open(output / "alive.lock", os.O_RDWR | os.O_CREAT)
    ready = output / "ready"
    with cli.start("run", team, "--session", "s1", "--output", output) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "attempt 1 of round 1 started" in line:
                break
        _wait_for(ready, process.pid)
        process.send_signal(signal.SIGKILL)

    # Granted once the tool and the child that left its session are gone.
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.close(lock)
    result = cli("run", team, "--session", "s1", "--output", output, "--json")

    assert result.returncode == 0, result.stderr
    note = json.loads(result.stdout)["tasks"][0]
    interrupted, repeated = note["attempts"]
    assert (interrupted["state"], interrupted["tokens"]) == ("interrupted", 42)
    assert repeated["state"] == "ok"
    spent = json.loads(cli("tokens", "report", "s1", "--json").stdout)["personas"]
    assert [row["lost_tokens"] for row in spent] == [0, 0]


def _wait_for(path: Path, pid: int) -> None:
    """Wait until the tool has made its file; its runtime must be alive as long."""
    with selectors.DefaultSelector() as nothing:
        while not path.exists():
            os.kill(pid, 0)
            nothing.select(0.01)
