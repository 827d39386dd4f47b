"""Values written by every released version keep decoding. Never change or remove a golden file.

A golden file is named <database>-v<version>.bin and holds one stored value, digest and all.
"""

from pathlib import Path

import pytest

from maestro_storage._repository import Decoder
from maestro_storage._seal import unseal
from maestro_storage.bookings import CounterKey, Fired
from maestro_storage.records import (
    RECORD_TYPES,
    AlertRecord,
    AttemptRecord,
    BreakerRecord,
    BudgetRecord,
    CallRecord,
    CheckpointRecord,
    CounterRecord,
    EventRecord,
    OutboxRecord,
    Record,
    RequestRecord,
    SessionRecord,
    TaskRecord,
    UsageRecord,
    ValueRecord,
)

GOLDEN = Path(__file__).parent / "golden"
CALL_ID = bytes(range(16))
DIGEST = bytes(range(32))
COUNTER = CounterKey("", "daily", "day/total", "backend_developer", 1_699_920_000_000)

EXPECTED: dict[str, Record] = {
    "sessions-v1": SessionRecord(
        session_id="s-1",
        state="failed",
        team_name="todo-api",
        team=DIGEST,
        output_dir="/out",
        input_dir="/in",
        created_ms=1_700_000_000_000,
        updated_ms=1_700_000_000_001,
        finished_ms=1_700_000_000_002,
        error="no phase left",
        epoch=3,
    ),
    "tasks-v1": TaskRecord(
        session_id="s-1",
        task_id="contract_001",
        phase="implementation",
        persona_id="backend_developer",
        engine="rehearsal",
        state="waiting",
        waits_for="deadline",
        round=2,
        attempt=1,
        ordinal=4,
        deadline_ms=1_700_000_000_003,
        call_id=CALL_ID,
        tokens_used=1234,
        quality_score=0.75,
        contract_fulfilled=True,
        failure="transient",
        evidence=("no answer", "no file"),
        artifacts=DIGEST,
        started_ms=1_700_000_000_000,
        finished_ms=1_700_000_000_004,
        epoch=3,
    ),
    "attempts-v1": AttemptRecord(
        session_id="s-1",
        task_id="contract_001",
        ordinal=4,
        round=2,
        attempt=1,
        call_id=CALL_ID,
        state="interrupted",
        failure="interrupted",
        evidence=("the process died",),
        delay_ms=5000,
        tokens=99,
        message=DIGEST,
        started_ms=1_700_000_000_000,
        finished_ms=1_700_000_000_001,
        epoch=3,
    ),
    "calls-v1": CallRecord(
        session_id="s-1",
        call_id=CALL_ID,
        task_id="contract_001",
        persona_id="backend_developer",
        engine="command",
        round=2,
        attempt=1,
        state="lost",
        reserved_tokens=5000,
        input_tokens=10,
        output_tokens=20,
        basis="reserved",
        opened_ms=1_700_000_000_000,
        closed_ms=1_700_000_000_001,
        pid=4321,
        pid_start_ticks=987654,
        boot_id="11111111-2222-3333-4444-555555555555",
        epoch=3,
    ),
    "budgets-v1": BudgetRecord(
        session_id="s-1",
        persona_id="backend_developer",
        limit_tokens=100_000,
        spent_tokens=40,
        held_tokens=60,
        epoch=3,
    ),
    "counters-v1": CounterRecord(
        counter=COUNTER,
        limit=1_500,
        spent=40,
        held=60,
        topped_up=500,
        version=2,
        alert_permille=(500, 1000),
        fired=(Fired(1, 1_000, 500),),
        steps=((1_700_000_000_000, 40),),
        updated_ms=1_700_000_000_001,
        epoch=3,
    ),
    "alerts-v1": AlertRecord(
        counter=COUNTER,
        version=2,
        limit=1_500,
        permille=500,
        spent=800,
        session_id="s-1",
        persona_id="backend_developer",
        at_ms=1_700_000_000_001,
        epoch=3,
    ),
    "usage-v1": UsageRecord(
        hour_ms=1_699_999_200_000,
        session_id="s-1",
        phase="implementation",
        task_id="contract_001",
        persona_id="backend_developer",
        engine="command",
        model="m-1",
        outcome="ok",
        calls=2,
        requests=3,
        input_tokens=100,
        output_tokens=50,
        cache_read_tokens=60,
        cache_write_tokens=20,
        reasoning_tokens=10,
        cost_nano_usd=7,
        unpriced_calls=1,
        lost_calls=1,
        duration_ms=1234,
        epoch=3,
    ),
    "breakers-v1": BreakerRecord(
        engine="command",
        state="open",
        failures=5,
        opened_count=2,
        retry_at_ms=1_700_000_000_000,
        epoch=3,
    ),
    "events-v1": EventRecord(
        session_id="s-1",
        sequence=7,
        at_ms=1_700_000_000_000,
        kind="attempt_failed",
        task_id="contract_001",
        data={"attempt": 1, "share": 0.5, "final": False, "why": "transient", "next": None},
        epoch=3,
    ),
    "checkpoints-v1": CheckpointRecord(
        session_id="s-1",
        number=2,
        phase="requirements",
        at_ms=1_700_000_000_000,
        summary=DIGEST,
        tokens_used=40,
        tasks_done=1,
        epoch=3,
    ),
    "outbox-v1": OutboxRecord(
        session_id="s-1",
        outbox_id="ticket-1",
        kind="ticket",
        state="done",
        payload=DIGEST,
        attempts=2,
        deadline_ms=1_700_000_000_000,
        reference="HELP-12",
        created_ms=1_700_000_000_000,
        epoch=3,
    ),
    "values-v1": ValueRecord(
        name="progress", value=b'{"done": 3}', updated_ms=1_700_000_000_000, epoch=3
    ),
    "requests-v1": RequestRecord(
        request_id=CALL_ID,
        kind="checkpoint",
        reply=b"\x81\xa6number\x07",
        at_ms=1_700_000_000_000,
        epoch=3,
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_value_written_by_a_released_version_decodes(name: str) -> None:
    expected = EXPECTED[name]
    sealed = (GOLDEN / f"{name}.bin").read_bytes()

    assert Decoder(type(expected))(expected.key, sealed) == expected
    version, _ = unseal(expected.DATABASE, expected.key, sealed, expected.VERSION)
    assert name == f"{expected.DATABASE}-v{version}"


def test_every_version_of_every_kind_has_a_golden_file() -> None:
    versions = {
        f"{kind.DATABASE}-v{version}"
        for kind in RECORD_TYPES
        for version in range(1, kind.VERSION + 1)
    }

    assert set(EXPECTED) == versions
    assert {file.stem for file in GOLDEN.iterdir()} == versions
