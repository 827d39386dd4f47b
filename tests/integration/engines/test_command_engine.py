import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from maestro_actors.engine import ProcessIdentity, Usage
from maestro_actors.team import Persona
from maestro_runtime.engines._tree import OUTPUT_BYTES_MAX
from maestro_runtime.engines.command import REPORT_BYTES_MAX, Request
from maestro_runtime.engines.survivors import boot_id

Commands = Any


def test_the_program_reads_its_request_and_its_input_ends(commands: Commands) -> None:
    outcome = commands.shell("cat > request.json")

    request = json.loads((commands.workspace / "request.json").read_bytes())
    assert outcome.failure is None
    assert set(request) == set(Request.__struct_fields__)
    assert request["requirement"] == "Build it"
    assert request["feedback"] == ["too short"]
    assert request["scope"] == ["*.md"]
    assert request["options"] == {"level": 3}
    assert (request["round"], request["attempt"], request["ordinal"]) == (1, 2, 5)


def test_a_request_larger_than_a_pipe_arrives_whole(commands: Commands) -> None:
    order = msgspec.structs.replace(commands.order("wc", "-c"), requirement="x" * 1_000_000)

    assert int(commands.serve(order).message) > 1_000_000


def test_a_program_that_does_not_read_its_input_is_not_disturbed(commands: Commands) -> None:
    order = msgspec.structs.replace(commands.order("true"), requirement="x" * 1_000_000)

    assert commands.serve(order).failure is None


def test_the_environment_is_an_allow_list_and_cannot_hide_the_call(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "s3cret")
    monkeypatch.setenv("LC_TIME", "C")
    order = commands.order(
        "env", "-0", environment={"COLOUR": "red", "MAESTRO_CALL_ID": "forged", "TZ": "UTC"}
    )
    order = msgspec.structs.replace(order, input_dir="/src")

    message = commands.serve(order).message
    seen = dict(entry.split("=", 1) for entry in message.split("\0") if entry)

    assert {name for name in seen if not name.startswith(("MAESTRO_", "LC_"))} <= {
        "COLOUR",
        "HOME",
        "LANG",
        "PATH",
        "TMPDIR",
        "TZ",
        "USER",
    }
    assert (seen["COLOUR"], seen["TZ"], seen["LC_TIME"]) == ("red", "UTC", "C")
    assert seen["MAESTRO_CALL_ID"] == order.call_id
    assert seen["MAESTRO_SESSION_ID"] == "s-1"
    assert seen["MAESTRO_TASK_ID"] == "c-1"
    assert seen["MAESTRO_ATTEMPT"] == "5"
    assert seen["MAESTRO_INPUT_DIR"] == "/src"
    assert seen["MAESTRO_STATE_ID"] == commands.state_id


def test_no_descriptor_of_the_runtime_is_inherited(commands: Commands) -> None:
    # Opened by `ls` itself: one more than the three streams.
    assert commands.shell("exec ls /proc/self/fd").message.split() == ["0", "1", "2", "3"]


def test_the_arguments_are_never_seen_by_a_shell(commands: Commands) -> None:
    assert commands.serve(commands.order("echo", "$HOME; `id`")).message == "$HOME; `id`\n"


def test_the_process_is_named_before_its_output_is_read(commands: Commands) -> None:
    outcome = commands.shell("echo $$")

    process = commands.processes.get_nowait()
    assert process.pid == int(outcome.message)
    assert process.boot_id == boot_id()
    assert process.start_ticks > 0


def test_the_program_gets_no_input_before_it_is_on_record(commands: Commands) -> None:
    order = commands.order("sh", "-c", "read line; echo got > got")
    seen: list[bool] = []

    async def refuse(process: ProcessIdentity) -> None:
        seen.append((commands.workspace / "got").exists())
        raise OSError("journal is full")

    commands.host.submit(order, commands.outcomes.put, refuse)
    outcome = commands.answer()

    assert seen == [False]
    assert not (commands.workspace / "got").exists()
    assert outcome.evidence == ("OSError: journal is full",)
    assert outcome.usage == Usage()


def test_artifacts_are_found_in_the_workspace(commands: Commands) -> None:
    outcome = commands.shell("mkdir src; echo 1 > src/a.py", globs=("src/*.py",))

    assert [artifact.path for artifact in outcome.artifacts] == ["src/a.py"]


def test_tokens_are_estimated_from_bytes_when_nobody_counts(commands: Commands) -> None:
    order = commands.order("printf", "123456")

    usage = commands.serve(order).usage

    assert usage.basis == "estimated"
    assert usage.output_tokens == 2
    assert usage.input_tokens == commands.engine.estimate(order)


REPORT = '{"usage": {"input_tokens": 11, "output_tokens": 7}, "message": "done", "more": 1}'
COUNTED = Usage(input_tokens=11, output_tokens=7, basis="provider")


def test_a_report_gives_usage_and_message(commands: Commands) -> None:
    outcome = commands.shell(f"echo '{REPORT}' > $MAESTRO_RESULT; echo noise")

    assert (outcome.usage, outcome.message) == (COUNTED, "done")


def test_a_report_tells_cache_reasoning_and_requests(commands: Commands) -> None:
    figures = {
        "input_tokens": 11,
        "cache_read_tokens": 5,
        "cache_write_tokens": 4,
        "output_tokens": 7,
        "reasoning_tokens": 6,
        "requests": 3,
    }
    report = json.dumps({"usage": figures})

    outcome = commands.shell(f"echo '{report}' > $MAESTRO_RESULT")

    assert outcome.usage == Usage(basis="provider", **figures)


@pytest.mark.parametrize(
    ("end", "seconds", "evidence"),
    [
        (
            "echo no licence >&2; exit 3",
            100,
            "engine failed: program ended with exit code 3: no licence",
        ),
        ("kill -9 $$", 100, "engine crashed: program died of signal 9: "),
        ("sleep 100", 3, "call timed out: exceeded its limit of 3 s"),
    ],
)
def test_reported_usage_counts_whatever_the_end(
    commands: Commands, end: str, seconds: int, evidence: str
) -> None:
    outcome = commands.shell(f"echo '{REPORT}' > $MAESTRO_RESULT; {end}", timeout_seconds=seconds)

    assert (outcome.failure, outcome.engine_fault) == ("transient", True)
    assert outcome.evidence == (evidence,)
    assert outcome.usage == COUNTED


@pytest.mark.parametrize(
    ("write", "evidence"),
    [
        ("echo '{' > $MAESTRO_RESULT", "report is not valid: "),
        ('echo \'{"usage": {"input_tokens": -1}}\' > $MAESTRO_RESULT', "`int` >= 0"),
        (
            'echo \'{"usage": {"output_tokens": 1, "reasoning_tokens": 2}}\' > $MAESTRO_RESULT',
            "output_tokens must have the 2 reasoning tokens in it, got 1",
        ),
        (f"head -c {REPORT_BYTES_MAX + 1} /dev/zero > $MAESTRO_RESULT", "report must have at most"),
        ("mkfifo $MAESTRO_RESULT", "is not a regular file"),
        ("ln -s /etc/hostname $MAESTRO_RESULT", "is a symbolic link"),
    ],
)
def test_a_report_that_cannot_be_believed_is_malformed_output(
    commands: Commands, write: str, evidence: str
) -> None:
    outcome = commands.shell(write)

    assert outcome.failure == "malformed_output"
    assert evidence in outcome.evidence[0]
    assert outcome.usage.basis == "estimated"


def test_edits_of_a_report_are_applied(commands: Commands) -> None:
    commands.workspace.mkdir()
    (commands.workspace / "a.txt").write_text("old text")
    edit = {"kind": "search_replace", "path": "a.txt", "search": "old", "replace": "new"}
    report = json.dumps({"edits": [edit]})

    outcome = commands.shell(f"echo '{report}' > $MAESTRO_RESULT")

    assert (outcome.failure, outcome.tokens_saved) == (None, 1)
    assert (commands.workspace / "a.txt").read_text() == "new text"


def test_wrong_edits_of_a_report_do_not_cost_the_count_of_tokens(commands: Commands) -> None:
    report = json.dumps({**json.loads(REPORT), "edits": [{"kind": "delete", "path": "a"}]})

    outcome = commands.shell(f"echo '{report}' > $MAESTRO_RESULT")

    assert outcome.failure == "malformed_output"
    assert "edits of the report are not valid: Invalid value 'delete'" in outcome.evidence[0]
    assert outcome.usage == COUNTED


def test_a_report_of_somebody_else_is_removed_before_the_call(commands: Commands) -> None:
    order = commands.order("true")
    place = commands.workspace / ".maestro" / "calls" / f"{order.call_id}.json"
    place.parent.mkdir(parents=True)
    place.write_text(REPORT)

    assert commands.serve(order).usage.basis == "estimated"


def test_recovery_reads_the_report_of_the_interrupted_call(commands: Commands) -> None:
    order = commands.order("sh", "-c", f"echo '{REPORT}' > $MAESTRO_RESULT")
    commands.serve(order)
    usages: list[Usage | None] = []

    for asked in (order, msgspec.structs.replace(order, call_id="f" * 32)):
        commands.host.recover(asked, commands.outcomes.put)
        usages.append(commands.answer())

    assert usages == [COUNTED, None]


def test_output_is_kept_to_its_last_mebibyte_and_counted_in_full(commands: Commands) -> None:
    script = f"head -c {5 * OUTPUT_BYTES_MAX} /dev/zero; echo the end"

    outcome = commands.shell(script)

    assert outcome.message.endswith("the end\n")
    assert len(outcome.message) <= 16_384
    assert outcome.usage.output_tokens == -(-(5 * OUTPUT_BYTES_MAX + 8) // 3)


@pytest.mark.parametrize(
    ("argv", "evidence"),
    [
        (("no-such-program",), "cannot start 'no-such-program': No such file or directory"),
        (("./plain",), "cannot start './plain': Permission denied"),
        (("./odd",), "cannot start './odd': Exec format error"),
    ],
)
def test_a_program_that_cannot_be_started_makes_the_engine_unavailable(
    commands: Commands, argv: tuple[str, ...], evidence: str
) -> None:
    commands.workspace.mkdir()
    (commands.workspace / "plain").write_text("x")
    (commands.workspace / "odd").write_text("\x01\x02")
    (commands.workspace / "odd").chmod(0o755)

    outcome = commands.serve(commands.order(*argv))

    assert (outcome.failure, outcome.engine_fault) == ("permanent", True)
    assert outcome.evidence == (f"engine is unavailable: {evidence}",)
    assert outcome.usage == Usage()


@pytest.mark.parametrize(
    ("argv", "evidence"),
    [
        (("echo", "a\0b"), "call cannot succeed: cannot start 'echo': embedded null byte"),
        (
            ("echo", "x" * 200_000),
            "call cannot succeed: cannot start 'echo': Argument list too long",
        ),
    ],
)
def test_a_command_line_the_system_cannot_take_is_permanent(
    commands: Commands, argv: tuple[str, ...], evidence: str
) -> None:
    outcome = commands.serve(commands.order(*argv))

    assert (outcome.failure, outcome.engine_fault) == ("permanent", False)
    assert outcome.evidence == (evidence,)


def test_a_persona_without_a_command_is_refused(commands: Commands) -> None:
    order = msgspec.structs.replace(
        commands.order("true"), persona=Persona(persona_id="dev", engine="command")
    )

    assert commands.serve(order).evidence == ("call cannot succeed: persona 'dev' has no command",)
    assert commands.engine.preflight(order.persona).detail == "persona 'dev' has no command"


def test_the_preflight_looks_for_the_program_on_the_persona_s_own_path(
    commands: Commands, tmp_path: Path
) -> None:
    tool = tmp_path / "mytool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)

    lost = commands.order("mytool").persona
    found = commands.order("mytool", environment={"PATH": str(tmp_path)}).persona

    assert commands.engine.preflight(lost).detail == (
        "program 'mytool' is not found or not executable"
    )
    assert commands.engine.preflight(found).ok
    assert commands.engine.preflight(commands.order("tools/later").persona).ok


def test_no_descriptor_is_left_open_by_calls(commands: Commands) -> None:
    commands.shell("true")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted

    for script in ("true", "exit 1", "kill -9 $$", "sleep 100 &"):
        commands.shell(script)

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - counted


def test_a_variable_is_taken_over_when_the_call_begins_and_not_before(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"URL": "db://me:${PASS}@host"}
    orders = [commands.order("sh", "-c", "echo $URL", environment=environment) for _ in range(2)]

    said = []
    for value, order in zip(("first", "second"), orders, strict=True):
        monkeypatch.setenv("PASS", value)
        said.append(commands.serve(order).message)

    assert said == ["db://me:first@host\n", "db://me:second@host\n"]
    assert commands.engine.preflight(orders[0].persona).ok


def test_a_variable_that_is_not_set_is_a_failure_that_lasts(commands: Commands) -> None:
    order = commands.order("true", environment={"KEY": "${MAESTRO_TEST_UNSET}"})
    text = "environment of the command refers to variable 'MAESTRO_TEST_UNSET', which is not set"

    outcome = commands.serve(order)

    assert (outcome.failure, outcome.evidence) == ("permanent", (f"call cannot succeed: {text}",))
    assert commands.engine.preflight(order.persona).detail == text
