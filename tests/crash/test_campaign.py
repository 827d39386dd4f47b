"""A few rounds of each fault; `make crash` makes as many as you like."""

import subprocess
import sys
from pathlib import Path

import pytest

import campaign
import run_campaign
import storage_fault
from campaign import FAULTS, Fault, repeat
from straced import STRACE

ROUNDS = {
    "kill": 2,
    "kill-storm": 1,
    "opening-storm": 1,
    "orphans": 1,
    "daemon": 2,
    "power-cut": 1,
    "bit-rot": 1,
    "pause": 1,
    "storage": 3,
    "shortage": 4,
}
"""Of each fault; 2 of the others."""
EARLY_KILL = 7041
"""Seed of a kill at the third sync."""
SYSCALLS_LEFT_OUT = 90
"""Of the system calls one of so many is struck."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_keeps_its_invariants_through_a_fault(fault: str) -> None:
    if FAULTS[fault].straced and STRACE is None:
        pytest.skip("strace is not installed")
    every = FAULTS[fault].every
    seeds = range(1, 1 + ROUNDS.get(fault, 2)) if every is None else [*every()][::SYSCALLS_LEFT_OUT]
    assert repeat(fault, seeds).total() > 0


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
def test_a_system_call_on_the_data_file_can_kill(tmp_path: Path) -> None:
    assert storage_fault.one_round(tmp_path, EARLY_KILL) == {"runs killed": 1}


def test_a_campaign_is_a_command() -> None:
    command = [sys.executable, "-P", run_campaign.__file__]

    made = subprocess.run(
        [*command, "--fault", "pause", "--rounds", "1"], check=True, capture_output=True, text=True
    )

    assert made.stdout.startswith("pause: seed ")


def test_a_round_that_fails_names_the_command_that_repeats_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_directory: Path, seed: int) -> None:
        assert seed < 8

    monkeypatch.setitem(FAULTS, "kill", Fault(fail, ""))  # type: ignore[arg-type] # counts nothing

    with pytest.raises((AssertionError, TypeError)):
        repeat("kill", [8])

    assert "repeat: make crash FAULT=kill ROUNDS=1 SEED=8" in capsys.readouterr().out


def test_a_fault_that_cannot_be_made_here_is_said_to_be_absent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(campaign, "STRACE", None)
    monkeypatch.setattr("sys.argv", ["campaign.py", "--fault", "syscalls"])

    campaign.main()

    assert capsys.readouterr().out == "syscalls: absent, because strace is not installed\n"
