"""The benchmarks run, in a process of their own and at the smallest size: they cannot rot."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SUITE = sorted(
    path.stem.removeprefix("bench_") for path in (ROOT / "benchmarks").glob("bench_*.py")
)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """The JSON of one run of all, and its page."""
    directory = tmp_path_factory.mktemp("bench")
    page = directory / "report.html"
    done = subprocess.run(
        [
            *(sys.executable, "-P", str(ROOT / "benchmarks"), "--json", "--no-peers"),
            *("--scale", "0.001", "--dir", str(directory), "--report", str(page)),
        ],
        check=True,
        stdout=subprocess.PIPE,
        timeout=250,
    )
    return json.loads(done.stdout), page.read_text()


def test_every_module_of_the_suite_is_run_and_has_figures(
    measured: tuple[dict[str, Any], str],
) -> None:
    facts, _ = measured

    assert sorted(facts["benchmarks"]) == SUITE
    for rows in facts["benchmarks"].values():
        assert rows
        assert all(sample > 0 and math.isfinite(sample) for row in rows for sample in samples(row))


def test_a_peer_that_is_not_measured_is_reported_as_absent(
    measured: tuple[dict[str, Any], str],
) -> None:
    facts, page = measured
    absent = {
        row["beside"] for rows in facts["benchmarks"].values() for row in rows if row["absent"]
    }

    servers = {"DBOS (PostgreSQL)", "Restate"}
    assert {"DBOS (SQLite)", "LangGraph (SQLite)", "tenacity", "pybreaker"} | servers <= absent
    assert '<td class="number">absent</td>' in page
    assert page.count("<svg") >= len(SUITE)


def test_the_benchmarks_leave_no_directory_behind(
    measured: tuple[dict[str, Any], str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    left = list(tmp_path_factory.getbasetemp().glob("bench*/maestro-bench-*"))

    assert left == []


def samples(row: dict[str, Any]) -> list[float]:
    return [*row["our_samples"], *row["their_samples"]]
