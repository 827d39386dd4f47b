"""The files of docs/engines.md run, together."""

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from command_line import CommandLine
from console import blocks_of
from maestro_runtime.edits.plan import Edit
from maestro_runtime.engines._reported import ReportedUsage
from maestro_runtime.engines.command import Report, Request

PAGE = (Path(__file__).parents[3] / "docs" / "engines.md").read_text()
FILES = {body.split("\n", 1)[0].removeprefix("# "): body for _, body in blocks_of(PAGE)}


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    return CommandLine(tmp_path)


def test_the_program_and_the_function_do_the_work_of_the_team(cli: CommandLine) -> None:
    ended = cli("run", "team.toml", "--output", "out", "--json")

    assert ended.returncode == 0, ended.stderr
    report = msgspec.json.decode(ended.stdout)
    assert [task["tokens_used"] for task in report["tasks"]] == [150, 50]
    assert (cli.directory / "out" / "review.md").read_text() == "Read: Say hello (en)\n"


def test_the_engine_of_ones_own_takes_the_place_of_a_built_in_one(cli: CommandLine) -> None:
    result = subprocess.run(
        [sys.executable, "own.py"],
        cwd=cli.directory,
        env=cli.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )

    assert result.returncode == 0, result.stderr


def test_the_page_has_every_field_of_request_report_and_edits() -> None:
    edits = [kind.__struct_config__ for kind in Edit.__args__]
    named = set(re.findall(r"`(\w+)`", PAGE))

    fields = {
        *Request.__struct_fields__,
        *Report.__struct_fields__,
        *ReportedUsage.__struct_fields__,
        *(str(config.tag) for config in edits),
        *(name for kind in Edit.__args__ for name in kind.__struct_fields__),
    }
    assert fields - named == set()
