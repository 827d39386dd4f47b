"""Budgets from the team file to the exit code, with prices from the state directory."""

import pytest

from command_line import CommandLine
from maestro_storage import Store

BUDGETS = """
[[budgets]]
id = "usd"
window = "month"
metric = "money"
limit = {limit}
[[budgets]]
id = "day"
window = "day"
limit = 100000
"""
PRICES = """
[models.rehearsal]
input = 1
output = 2.5
"""


@pytest.mark.parametrize(("limit", "exit_code"), [(1.0, 0), (0.000001, 7)])
def test_a_run_ends_when_its_money_does(cli: CommandLine, limit: float, exit_code: int) -> None:
    team = cli.team()
    team.write_text(team.read_text() + BUDGETS.format(limit=f"{limit:f}"))
    cli.state_dir.mkdir(mode=0o700)
    (cli.state_dir / "prices.toml").write_text(PRICES)

    result = cli("run", team, "--session", "s1")

    assert result.returncode == exit_code, result.stderr
    with Store.inspect(cli.state_dir) as store:
        calls = list(store.calls.scan("s1"))
        counters = {row.counter.budget_id: row.spent for row in store.counters.scan("")}
    assert counters.get("usd", 0) == sum(call.cost_nano_usd for call in calls)
    assert all(
        call.cost_nano_usd == round(call.input_tokens * 1_000 + call.output_tokens * 2_500)
        for call in calls
    )


def test_a_broken_price_table_exits_with_2_and_starts_nothing(cli: CommandLine) -> None:
    cli.state_dir.mkdir(mode=0o700)
    (cli.state_dir / "prices.toml").write_text("[models.m]\ninput = 1\n")

    result = cli("run", cli.team(), "--session", "s1")

    assert result.returncode == 2
    assert "price table: models.m must have input and output" in result.stderr
    assert not (cli.state_dir / "data").exists()
