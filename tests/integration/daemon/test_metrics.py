"""Metrics of a runtime that works, and of the records alone."""

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from command_line import CommandLine
from maestro_actors.messages import encode
from maestro_runtime import Runtime, RuntimeOptions, SessionOrder, open_runtime
from maestro_runtime.daemon._gate import RuntimeGate
from maestro_runtime.daemon._server import SocketServer
from maestro_runtime.testing import ScriptedEngine, simple_team
from maestro_runtime.wire.errors import RequestInvalid
from maestro_runtime.wire.frames import Hello, packed
from maestro_runtime.wire.line import Line
from maestro_runtime.wire.metrics import METRICS_ADDRESS, GetMetrics, MetricsText
from running import BOUND_SECONDS

Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]

ADDS_UP = "maestro_tokens_total"


def read(text: str) -> Values:
    """Return all samples, as the library of Prometheus reads them."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def told(answer: bytes) -> str:
    return msgspec.msgpack.decode(answer, type=MetricsText).text


def of(values: Values, name: str, **labels: str) -> float:
    return values[name, tuple(sorted(labels.items()))]


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    options = RuntimeOptions(engines=(ScriptedEngine(),))
    with open_runtime(tmp_path / "state", options) as runtime:
        yield runtime


@pytest.fixture
def gate(runtime: Runtime) -> RuntimeGate:
    return RuntimeGate(runtime)


def test_the_metrics_of_a_run_say_what_has_happened_and_name_no_session(
    runtime: Runtime, gate: RuntimeGate, tmp_path: Path
) -> None:
    team = simple_team(
        {"write": ("note", "review")}, engine="rehearsal", script=("transient", "ok")
    )
    runtime.run(SessionOrder(team, "a-session", tmp_path / "out")).result(BOUND_SECONDS)
    runtime.store.journal.settle(BOUND_SECONDS)

    text = told(gate._metrics.answer(encode(GetMetrics())))
    values = read(text)

    assert of(values, "maestro_sessions", state="done") == 1
    assert of(values, "maestro_sessions", state="failed") == 0
    who = {"persona": "dev", "engine": "rehearsal"}
    assert of(values, "maestro_attempts_total", outcome="ok", **who) == 2
    assert of(values, "maestro_attempts_total", outcome="transient", **who) == 2
    used = sum(task.tokens_used for task in runtime.store.tasks.scan("a-session"))
    tokens = [of(values, "maestro_tokens_total", kind=kind, **who) for kind in ("input", "output")]
    assert sum(tokens) == used > 0
    assert of(values, "maestro_retries_total") == 2
    assert of(values, "maestro_events_total", kind="attempt_failed") == 2
    assert of(values, "maestro_breaker_failures", breaker="rehearsal") == 0
    assert of(values, "maestro_owner_epoch") == runtime.store.epoch
    assert of(values, "maestro_store_map_bytes") == runtime.store.info().map_bytes
    assert (
        0 < of(values, "maestro_store_reader_slots") < of(values, "maestro_store_reader_slots_max")
    )
    commits = of(values, "maestro_journal_commit_seconds_count")
    assert commits == of(values, "maestro_journal_batch_transitions_count")
    assert 1 <= commits <= of(values, "maestro_journal_batch_transitions_sum")
    assert of(values, "maestro_actors", **{"class": "TokenAccountant"}) == 1
    assert of(values, "maestro_dead_letters_total") == runtime.system.dead_letters.count
    assert of(values, "process_threads") > 1
    assert of(values, "process_open_fds") < of(values, "process_max_fds")
    assert "a-session" not in text
    assert "note" not in text


def test_the_metrics_keep_the_conventions_of_prometheus(
    runtime: Runtime, gate: RuntimeGate, tmp_path: Path
) -> None:
    team = simple_team({"write": ("note",)}, engine="rehearsal")
    runtime.run(SessionOrder(team, "a-session", tmp_path / "out")).result(BOUND_SECONDS)
    runtime.store.journal.settle(BOUND_SECONDS)
    first, text = (told(gate._metrics.answer(encode(GetMetrics()))) for _ in range(2))

    families = list(text_string_to_metric_families(text))
    series = [
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in families
        for sample in family.samples
    ]
    assert len(series) == len(set(series)) == len(text.splitlines()) - 2 * len(families)
    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert re.fullmatch(r"(maestro|process)(_[a-z0-9]+)+", family.name)
        # Base units alone, and a sum of all series that means something.
        assert not re.search(r"_(ms|milliseconds|minutes|kb|mb|total|count|sum)$", family.name)
        assert family.documentation.endswith(".")
        if family.type == "counter":
            assert {sample.name for sample in family.samples} == {f"{family.name}_total"}
    used = sum(task.tokens_used for task in runtime.store.tasks.scan("a-session"))
    values = read(text)
    counted = {labels: count for (name, labels), count in values.items() if name == ADDS_UP}
    assert {dict(labels)["kind"] for labels in counted} == {"input", "output"}
    assert sum(counted.values()) == used > 0
    started = ("process_start_time_seconds", ())
    assert read(first)[started] == values[started]


def test_clients_their_requests_and_what_they_are_refused_are_counted(
    gate: RuntimeGate, tmp_path: Path
) -> None:
    server = SocketServer(tmp_path / "socket", gate, users=(os.getuid(),))
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stranger:
            stranger.settimeout(BOUND_SECONDS)
            stranger.connect(str(tmp_path / "socket"))
            stranger.sendall(packed(Hello(protocol=999, version="x")))
            while stranger.recv(1 << 16):
                pass
        with Line(tmp_path / "socket") as line:
            with pytest.raises(RequestInvalid):
                line.ask("urn:nobody", b"")
            with pytest.raises(RequestInvalid):
                line.ask(METRICS_ADDRESS, b"\x01")
            values = read(told(line.ask(METRICS_ADDRESS, encode(GetMetrics()))))
    finally:
        server.close()

    assert of(values, "maestro_connections") == 1
    assert of(values, "maestro_connections_accepted_total") == 2
    assert of(values, "maestro_socket_requests_total") == 3
    assert of(values, "maestro_refusals_total", error="ProtocolMismatch") == 1
    assert of(values, "maestro_refusals_total", error="RequestInvalid") == 2
    assert gate.traffic.connections == 0


def test_beside_a_run_its_process_is_asked_and_alone_the_records_are_read(
    cli: CommandLine, running: Popen[str]
) -> None:
    beside = cli("metrics")
    running.kill()
    running.communicate(timeout=BOUND_SECONDS)
    alone = cli("metrics")

    assert (beside.returncode, beside.stderr) == (alone.returncode, alone.stderr) == (0, "")
    live, recorded = read(beside.stdout), read(alone.stdout)
    assert of(live, "maestro_sessions", state="running") == 1
    assert of(live, "maestro_tasks", state="running") == 1
    assert of(live, "maestro_connections") == 1
    assert of(live, "maestro_events_total", kind="session_started") == 1
    assert of(recorded, "maestro_sessions", state="running") == 1
    assert {key for key in live if key in recorded} == set(recorded)
    assert not [name for name, _ in recorded if name.startswith("process_")]


def test_without_a_state_there_are_no_metrics(cli: CommandLine) -> None:
    result = cli("metrics")

    assert result.returncode == 5
    assert "no such state" in result.stderr
