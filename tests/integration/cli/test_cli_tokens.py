"""`tokens`: what is printed of the ledger, and a top-up that lets a session go on."""

import csv
import json
import shutil
import signal
from pathlib import Path

import pytest

from command_line import CommandLine
from json_shape import GOLDEN, shape
from ledger_rows import begin, book, call, write
from maestro_actors.ledger.budget import HOUR_MS
from maestro_runtime.cli import tokens
from maestro_runtime.cli._export import COLUMNS
from maestro_runtime.statements.usage import DIMENSIONS
from maestro_storage import Store
from maestro_storage.bookings import CounterKey
from maestro_storage.records import AlertRecord, BudgetRecord, TaskRecord
from staging import team

TEN_MS = 1_763_719_200_000
"""2025-11-21T10:00Z"""
FORMULA = '=cmd|"/c calc"!A1'
STOPPED = """
[[budgets]]
id = "all"
limit = {limit}
window = "{window}"
action = "park"
"""


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The command line over a ledger that was written by hand; only for commands that look."""
    cli = CommandLine(tmp_path_factory.mktemp("books"))
    with Store.open(cli.state_dir) as store:
        begin(store, "s1", team(), TEN_MS)
        write(store, BudgetRecord(session_id="s1", persona_id="dev", limit_tokens=9))
        task = store.tasks.get("s1", "c1")
        assert isinstance(task, TaskRecord)
        book(
            store,
            [
                call(1, closed_ms=TEN_MS + 5_000, input_tokens=60, output_tokens=40, model="m\x1b"),
                call(
                    2,
                    persona=FORMULA,
                    closed_ms=TEN_MS + 6_000,
                    input_tokens=7,
                    cost_basis="table",
                    cost_nano_usd=1_500_000_001,
                ),
                call(3, closed_ms=TEN_MS + HOUR_MS, state="lost", input_tokens=100),
                call(4, session="gone", closed_ms=TEN_MS + 3 * HOUR_MS, output_tokens=3),
            ],
        )
        write(
            store,
            AlertRecord(
                counter=CounterKey("", "usd", "month/money", "", TEN_MS),
                version=1,
                limit=2_000_000_000,
                permille=955,
                spent=1_910_000_000,
                session_id="s1",
                persona_id="dev",
                at_ms=TEN_MS,
                epoch=1,
            ),
        )
    return cli


def test_the_command_line_knows_every_dimension() -> None:
    assert tokens.DIMENSIONS == DIMENSIONS


def rows(text: str) -> list[list[str]]:
    """Return the cells of a table, which are two spaces apart."""
    return [[cell.strip() for cell in line.split("  ") if cell] for line in text.splitlines()]


@pytest.mark.parametrize(
    ("golden", "arguments"),
    [
        ("usage", "report --by session --by hour"),
        ("budgets", "budget"),
        ("waste", "waste"),
        ("alerts", "alerts"),
        ("lost", "lost"),
    ],
)
def test_the_json_of_a_tokens_command_keeps_its_shape(
    books: CommandLine, golden: str, arguments: str
) -> None:
    """Stdout is exactly one value. A field may be added, to the golden file too; none may go."""
    result = books("tokens", *arguments.split(), "--json")

    assert result.returncode == 0, result.stderr
    assert shape(json.loads(result.stdout)) == json.loads((GOLDEN / f"{golden}.json").read_text())


def test_usage_is_reported_by_what_is_asked_for_with_its_sum(books: CommandLine) -> None:
    result = books("tokens", "report", "--by", "session", "--by", "outcome")

    assert rows(result.stdout) == [
        ["SESSION", "OUTCOME", "CALLS", "TOKENS", "INPUT", "OUTPUT", "CACHED", "USD"],
        ["gone", "ok", "1", "3", "0", "3", "0", "unpriced"],
        ["s1", "ok", "3", "207", "167", "40", "0", "1.500000001 + 2 unpriced"],
    ]
    assert result.stderr == (
        "in all 4 calls, 1 of them lost, 210 tokens, USD 1.500000001 + 3 unpriced\n"
    )


def test_usage_of_a_time_is_reported_by_session_and_persona(books: CommandLine) -> None:
    result = books(
        *("tokens", "report", "--since", "2025-11-21T11:30", "--until", "2025-11-21T14:00+01:00")
    )

    assert [row[:4] for row in rows(result.stdout)[1:]] == [["s1", "dev", "1", "100"]]


def test_a_session_that_is_gone_has_its_usage_still(books: CommandLine) -> None:
    assert rows(books("tokens", "report", "gone", "--by", "persona").stdout)[1][1:3] == ["1", "3"]
    assert books("tokens", "report", "gon", "--by", "persona").returncode == 5


def test_history_goes_by_the_hour_or_by_the_day(books: CommandLine) -> None:
    by_hour = rows(books("tokens", "history", "s1").stdout)
    by_day = rows(books("tokens", "history", "--by", "day").stdout)

    assert [row[:3] for row in by_hour[1:]] == [
        ["2025-11-21T10:00Z", "2", "107"],
        ["2025-11-21T11:00Z", "1", "100"],
    ]
    assert [row[:3] for row in by_day[1:]] == [["2025-11-21", "4", "210"]]


def test_times_without_usage_say_so(books: CommandLine) -> None:
    result = books("tokens", "history", "--until", "2000-01-01")

    assert (result.stdout, result.stderr) == ("", "nothing was used in this time\n")


def test_budgets_are_listed_with_what_is_left(books: CommandLine) -> None:
    (headers, row) = rows(books("tokens", "budget").stdout)

    assert dict(zip(headers, row, strict=True)) == {
        "BUDGET": "persona/dev",
        "OF": "dev",
        "SESSION": "s1",
        "WINDOW": "session",
        "METRIC": "total",
        "LIMIT": "100000",
        "SPENT": "0",
        "HELD": "0",
        "LEFT": "100000",
        "SHARE": "0 %",
        "RESETS AT": "-",
        "PER HOUR": "0",
        "EXHAUSTED AT": "-",
    }


def test_alerts_are_listed_with_money_in_usd(books: CommandLine) -> None:
    (_, row) = rows(books("tokens", "alerts").stdout)

    assert row[:4] == ["2025-11-21 10:00:00", "usd", "-", "month"]
    assert row[4:] == ["95.5 %", "1.91", "2.00", "money", "dev", "s1"]
    assert books("tokens", "alerts", "s1").stdout.count("\n") == 2


def test_lost_calls_are_listed(books: CommandLine) -> None:
    (_, row) = rows(books("tokens", "lost", "s1").stdout)

    assert row == [
        f"{3:032x}",
        *("s1", "c1", "dev", "1", "1", "100", "unpriced", "2025-11-21 10:59:59"),
    ]


def test_waste_is_told_with_its_reasons(past: CommandLine) -> None:
    result = past("tokens", "waste")

    (_, reviewer, writer) = rows(result.stdout)
    assert reviewer[0] == "reviewer"
    assert (reviewer[1], reviewer[3], reviewer[6]) == (reviewer[2], "0", "-")
    tokens, used, wasted, undecided = map(int, writer[1:5])
    assert tokens == used + wasted + undecided
    assert 0 < wasted < tokens
    assert "transient" in writer[6]


def test_the_report_with_a_group_adds_up_to_the_report_without(past: CommandLine) -> None:
    plain = json.loads(past("tokens", "report", "--json").stdout)["personas"]
    grouped = json.loads(past("tokens", "report", "--by", "phase", "--json").stdout)

    spent = sum(row["spent_tokens"] for row in plain)
    assert spent == sum(row["tokens"] for row in grouped["rows"]) == grouped["total"]["tokens"]


def test_an_export_has_a_line_for_each_call_and_runs_no_formula(books: CommandLine) -> None:
    result = books("tokens", "export")

    lines = list(csv.DictReader(result.stdout.splitlines()))
    assert tuple(lines[0]) == COLUMNS
    assert [line["session_id"] for line in lines] == ["gone", "s1", "s1", "s1"]
    assert [line["tokens"] for line in lines] == ["3", "100", "7", "100"]
    assert [line["cost_nano_usd"] for line in lines] == ["", "", "1500000001", ""]
    assert lines[2]["persona"] == f"'{FORMULA}"
    assert lines[1]["model"] == "m\N{REPLACEMENT CHARACTER}"
    assert result.stderr == ""


def test_the_columns_of_the_export_are_a_promise() -> None:
    """A column may be added at the end, here too; none may go or move."""
    assert ",".join(COLUMNS) == (
        "session_id,call_id,phase,contract,persona,engine,model,round,attempt,state,outcome,"
        "opened_ms,closed_ms,reserved_tokens,tokens,input_tokens,output_tokens,"
        "cache_read_tokens,cache_write_tokens,reasoning_tokens,requests,basis,"
        "cost_nano_usd,cost_basis,corrections"
    )


def test_an_export_as_json_lines_has_every_character(books: CommandLine) -> None:
    result = books("tokens", "export", "s1", "--format", "jsonl")

    values = [json.loads(line) for line in result.stdout.splitlines()]
    assert [value["call_id"] for value in values] == [f"{number:032x}" for number in (1, 2, 3)]
    assert [value["persona"] for value in values] == ["dev", FORMULA, "dev"]
    assert values[0]["model"] == "m\x1b"
    assert "\x1b" not in result.stdout
    assert all(tuple(value) == COLUMNS for value in values)


def test_an_export_to_a_file_is_there_whole_or_leaves_what_was_there(books: CommandLine) -> None:
    target = books.directory / "calls.csv"
    target.write_text("before")

    failed = books("tokens", "export", "--output", target, file_size_max=100)
    assert (failed.returncode, target.read_text()) == (74, "before")
    written = books("tokens", "export", "--output", target)

    assert (written.returncode, written.stdout) == (0, "")
    assert target.read_text() == books("tokens", "export").stdout
    assert sorted(path.name for path in books.directory.iterdir()) == ["calls.csv", "state"]


def test_an_export_that_cannot_be_written_names_the_file(books: CommandLine) -> None:
    result = books("tokens", "export", "--output", "nowhere/calls.csv")

    assert result.returncode == 74
    assert result.stderr == (
        "error: nowhere/calls.csv cannot be written: No such file or directory\n"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ("report --by colour", 2, "'colour' is not one of 'session', 'phase'"),
        ("history --since 1h --until 2h", 2, "--until must be later than --since"),
        ("report --since yesterday", 2, "must be an instant like 2026-11-21, 2026-11-21T10:00"),
        ("history --since 1969-12-31", 2, "7d, got '1969-12-31'"),
        ("budget nope", 5, "no such budget: 'nope'"),
        ("top-up persona/dev much --reason x", 2, "must be a number, got 'much'"),
        ("top-up persona/dev 5", 2, "Missing option '--reason'"),
        ("top-up persona/dev 0 --reason x", 2, "top-up of budget 'persona/dev' must be a whole"),
        ("top-up nope 5 --reason x", 5, "no such running budget: 'nope'"),
        ("lost nobody", 5, "no such session: 'nobody'"),
    ],
)
def test_bad_input_is_named_and_has_its_exit_code(
    books: CommandLine, arguments: str, code: int, text: str
) -> None:
    result = books("tokens", *arguments.split())

    assert (result.returncode, result.stdout) == (code, ""), result.stderr
    assert text in result.stderr


FIGURES = ("--input-tokens", "30", "--output-tokens", "2", "--reason", "invoice")


def test_a_lost_call_is_corrected_everywhere_at_once_and_only_once(
    books: CommandLine, cli: CommandLine
) -> None:
    shutil.copytree(books.state_dir, cli.state_dir)
    lost = f"{3:032x}"

    first = cli("tokens", "correct", lost, *FIGURES, "--json")
    again = cli("tokens", "correct", lost, *FIGURES)

    assert first.returncode == 0, first.stderr
    corrected = json.loads(first.stdout)["call"]
    assert (corrected["tokens"], corrected["basis"]) == (32, "provider")
    assert (corrected["state"], corrected["corrections"]) == ("settled", 1)
    assert again.stderr == f"call {lost} is booked with 32 tokens\n"
    assert cli("tokens", "lost").stderr == "no call is lost\n"
    exported = csv.DictReader(cli("tokens", "export", "s1").stdout.splitlines())
    assert [line["tokens"] for line in exported] == ["100", "7", "32"]
    (_, row) = rows(cli("tokens", "report", "s1", "--by", "session").stdout)
    assert row[:6] == ["s1", "3", "139", "97", "42", "0"]
    assert {row[0]: row[1] for row in rows(cli("tokens", "waste", "s1").stdout)[1:]} == {
        FORMULA: "7",
        "dev": "132",
    }


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("1234567", *FIGURES), 2, "CALL must have at least 8 digits, got '1234567'"),
        (("12345678", *FIGURES), 5, "no such call: '12345678'"),
        (("00000000", *FIGURES), 2, "several calls begin with '00000000': "),
        ((f"{3:032x}", *FIGURES, "--cache-read-tokens", "31"), 2, "must have the cached 31 tokens"),
        ((f"{4:032x}", *FIGURES), 5, "no such session: 'gone'"),
    ],
)
def test_a_correction_that_cannot_be_changes_nothing(
    books: CommandLine, arguments: tuple[str, ...], code: int, text: str
) -> None:
    with Store.inspect(books.state_dir) as store:
        before = list(store.calls.scan())

    result = books("tokens", "correct", *arguments)

    assert (result.returncode, text in result.stderr) == (code, True), result.stderr
    with Store.inspect(books.state_dir) as store:
        assert list(store.calls.scan()) == before


def test_a_top_up_of_a_state_that_does_not_exist_creates_none(cli: CommandLine) -> None:
    assert cli("tokens", "top-up", "all", "5", "--reason", "x").returncode == 5
    assert not cli.state_dir.exists()


def stopped(cli: CommandLine, window: str, limit: int) -> Path:
    path = cli.team()
    path.write_text(path.read_text() + STOPPED.format(limit=limit, window=window))
    return path


def test_a_session_that_a_budget_has_stopped_goes_on_after_a_top_up(cli: CommandLine) -> None:
    assert cli("run", stopped(cli, "session", 1), "--session", "s1").returncode == 7

    result = cli("tokens", "top-up", "all", "5000", "--reason", "worth it", "--json")
    resumed = cli("session", "resume", "s1", "--json")

    assert result.returncode == 0, result.stderr
    done = json.loads(result.stdout)["top_up"]
    assert (done["limit"], done["retried"]) == (5_001, [["s1", "note"]])
    assert shape(json.loads(result.stdout)) == json.loads((GOLDEN / "top_up.json").read_text())
    assert resumed.returncode == 0, resumed.stderr
    used = json.loads(resumed.stdout)["tokens_used"]
    (row,) = json.loads(cli("tokens", "budget", "all", "--json").stdout)["budgets"]
    assert (row["limit"], row["topped_up"], row["spent"]) == (5_001, 5_000, used)
    again = cli("tokens", "top-up", "all", "5000", "--reason", "too late")
    assert (again.returncode, again.stderr) == (5, "error: no such running budget: 'all'\n")


def test_a_top_up_that_is_not_enough_leaves_the_task_stopped(cli: CommandLine) -> None:
    cli("run", stopped(cli, "session", 1), "--session", "s1")

    topped_up = cli("tokens", "top-up", "all", "1", "--reason", "x")

    assert topped_up.stderr == (
        "budget all has a limit of 2 now, 2 of it left\n"
        "note is tried again; to go on: maestro-runtime session resume s1\n"
    )
    assert cli("session", "resume", "s1").returncode == 7


def test_a_call_that_is_parked_until_the_next_window_goes_on_after_a_top_up(
    cli: CommandLine,
) -> None:
    """It need not be told: it asks again as soon as the session is resumed."""
    with cli.start("run", stopped(cli, "month", 1), "--session", "s1", "--json") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "task_waiting" in line:
                break
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=120) == 143

    topped_up = cli("tokens", "top-up", "all", "5000", "--reason", "x", "--json")
    resumed = cli("session", "resume", "s1")

    assert json.loads(topped_up.stdout)["top_up"]["retried"] == []
    assert resumed.returncode == 0, resumed.stderr
