"""The check that runs a program."""

import asyncio
import hashlib
from pathlib import Path

from maestro_actors import checks
from maestro_runtime.checks._look import Finding, Look, failed, passed, undecided
from maestro_runtime.engines.driver import Completion, Driver, Invocation

OUTPUT_BYTES_MAX = 800
"""How much of the end of the output becomes feedback."""


async def run_program(check: checks.Command, look: Look, driver: Driver) -> Finding:
    """Run the program in the workspace; its whole process tree is dead when this returns.

    It sees the variables that `driver` passes on, `MAESTRO_SESSION_ID`, `MAESTRO_TASK_ID` and,
    if the session works on a source tree, `MAESTRO_INPUT_DIR`.

    Raises:
        EngineError: It cannot be started, or does not die.
    """
    order = look.order
    environment = {"MAESTRO_SESSION_ID": order.session_id, "MAESTRO_TASK_ID": order.task_id}
    if order.input_dir is not None:
        environment["MAESTRO_INPUT_DIR"] = order.input_dir
    invocation = Invocation(
        call_id=order.call_id,
        argv=check.argv,
        folder=look.workspace.root,
        environment=environment,
        request=b"",
    )
    try:
        async with asyncio.timeout(check.timeout_seconds):
            completion = await driver.run(invocation, look.context)
    except TimeoutError:
        return undecided(f"no end within {check.timeout_seconds:g} s")
    got = _ending(completion)
    return passed(got) if completion.exit_code == check.expect_exit else failed(got)


def programs_of(check: checks.Command) -> dict[str, str]:
    """Return the digests of the absolute files in the command line: the verdict is theirs too.

    Blocks on the disk.
    """
    return {
        argument: hashlib.sha256(Path(argument).read_bytes()).hexdigest()
        for argument in check.argv
        if argument.startswith("/") and Path(argument).is_file()
    }


def _ending(completion: Completion) -> str:
    tail = completion.stderr.tail.strip() or completion.stdout.tail.strip()
    said = tail[-OUTPUT_BYTES_MAX:].decode(errors="replace")
    code = completion.exit_code
    ending = f"exit code {code}" if code >= 0 else f"death of signal {-code}"
    return f"{ending}: {said}" if said else ending
