"""Bad input: a clear error, its exit code, and nothing lost."""

import stat
from pathlib import Path

import lmdb
import pytest

from command_line import CommandLine
from typed import typed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("name =", "name ="), ""),
        (('name = "pair"', "name = "), "must be TOML"),
        (("[personas.writer]", "[personas.writer]\nmax_atempts = 3"), "max_attempts"),
        (('= "writer"', '= "writre"'), "writer"),
        (('name = "write"', 'name = "write"\nafter = ["check"]'), "write"),
        (('["note.md"]', '["../note.md"]'), "../note.md"),
        (('["note.md"]', '["/etc/passwd"]'), "/etc/passwd"),
    ],
    ids=[
        "good",
        "malformed",
        "unknown key",
        "unknown persona",
        "cyclic phases",
        "glob up",
        "glob absolute",
    ],
)
def test_a_wrong_team_file_exits_with_2_and_starts_nothing(
    cli: CommandLine, change: tuple[str, str], message: str
) -> None:
    team = cli.team()
    team.write_text(team.read_text().replace(*change))

    result = cli("run", team, "--session", "s1")

    if not message:
        assert result.returncode == 0, result.stderr
        return
    assert result.returncode == 2, result.stderr
    assert str(team) in result.stderr
    assert message in result.stderr
    assert not cli.state_dir.exists()


def test_all_mistakes_are_reported_at_once(cli: CommandLine) -> None:
    team = cli.team("max_atempts = 3\nengin = 1")
    team.write_text(team.read_text().replace('"writer"', '"nobody"'))

    result = cli("run", team)

    assert len([line for line in result.stderr.splitlines() if line.startswith("error: ")]) == 3


def test_an_unknown_engine_exits_with_2_and_names_the_known(cli: CommandLine) -> None:
    result = cli("run", cli.team('engine = "gpt"'))

    assert result.returncode == 2
    assert "'gpt'" in result.stderr
    assert "rehearsal" in result.stderr


def test_an_engine_that_cannot_work_is_found_before_the_session_starts(cli: CommandLine) -> None:
    team = cli.team('engine = "command"\ncommand = { argv = ["no-such-program"] }')

    result = cli("run", team, "--session", "s1")

    assert result.returncode == 2
    assert "engine 'command' of persona 'writer' is not ready" in result.stderr
    assert cli("session", "show", "s1").returncode == 5


@pytest.mark.parametrize("command", ["show", "result", "resume"])
def test_an_unknown_session_exits_with_5(cli: CommandLine, command: str) -> None:
    cli("run", cli.team())

    result = cli("session", command, "nobody")

    assert result.returncode == 5
    assert "nobody" in result.stderr


def test_a_state_directory_that_cannot_be_made_exits_with_3_and_names_how_to_change_it(
    cli: CommandLine,
) -> None:
    blocked = cli.directory / "file"
    blocked.write_text("in the way")

    result = cli("run", cli.team(), "--state-dir", blocked / "state")

    assert result.returncode == 3
    assert "MAESTRO_STATE_DIR" in result.stderr
    assert "--state-dir" in result.stderr
    assert str(blocked / "state") in result.stderr


def test_a_damaged_record_quarantines_its_session_and_the_others_run(cli: CommandLine) -> None:
    team = cli.team()
    cli("run", team, "--session", "bad")
    cli("run", team, "--session", "good", "--json")
    with lmdb.open(str(cli.state_dir / "data"), max_dbs=32) as environment:
        tasks = environment.open_db(b"tasks")
        with environment.begin(write=True, db=tasks) as txn:
            value = bytearray(txn.get(b"bad\0note\0", default=b""))
            value[-1] ^= 1
            txn.put(b"bad\0note\0", bytes(value))

    result = cli("run", team, "--session", "bad")

    assert result.returncode == 9
    assert "'bad'" in result.stderr
    assert cli("state", "verify").returncode == 9
    assert cli("run", team, "--session", "good").returncode == 0
    assert cli("run", team, "--session", "new").returncode == 0
    assert "bad is quarantined" in cli("session", "list").stderr


def test_a_state_of_a_newer_schema_is_refused_with_3_and_not_touched(cli: CommandLine) -> None:
    team = cli.team()
    cli("run", team, "--session", "s1")
    _raise_schema(cli.state_dir)
    before = (cli.state_dir / "data" / "data.mdb").read_bytes()

    for command in (("run", team, "--session", "s2"), ("session", "list"), ("state", "info")):
        result = cli(*command)
        assert result.returncode == 3, result.stderr
        assert "newer" in result.stderr

    assert (cli.state_dir / "data" / "data.mdb").read_bytes() == before


def test_a_full_disk_exits_with_74_and_keeps_what_was_acknowledged(cli: CommandLine) -> None:
    """The limit of the file size stands for the size of the disk: it needs no root."""
    team = cli.team()
    cli.environment["MAESTRO_TOKEN_BUDGET"] = "1_000_000_000"
    done, full = [], None
    for number in range(20):
        session = f"s{number}"
        # Another text each time: the same one would be stored only once.
        (cli.directory / "long.txt").write_text(f"{number} " * 300_000)
        result = cli(
            *("run", team, "--session", session, "--requirement", "@long.txt", "--json"),
            file_size_max=5 << 20,
        )
        if result.returncode != 0:
            full = session
            break
        done.append(session)

    assert full is not None
    assert done
    assert result.returncode == 74, result.stderr
    assert str(cli.state_dir) in result.stderr
    assert cli("state", "verify").returncode == 0
    for session in done:
        assert cli("session", "result", session).returncode == 0
    again = cli("run", team, "--session", full, "--requirement", "@long.txt")
    assert again.returncode == 0, again.stderr


def test_the_state_is_for_its_owner_only(cli: CommandLine) -> None:
    cli("run", cli.team(), "--session", "s1")

    for path in [cli.state_dir, *cli.state_dir.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def _raise_schema(state_dir: Path) -> None:
    """Write a newer schema version, as a later release would."""
    from maestro_storage._environment import META_VERSION  # noqa: PLC0415
    from maestro_storage._seal import seal  # noqa: PLC0415

    with lmdb.open(str(state_dir / "data"), max_dbs=32) as environment:
        meta = environment.open_db(b"meta")
        with environment.begin(write=True, db=meta) as txn:
            txn.put(b"schema", seal("meta", b"schema", META_VERSION, b"2"))


@pytest.mark.parametrize(
    ("persona", "arguments"),
    [
        ('engine = "gpt"', ""),
        ('engine = "command"\ncommand = { argv = ["no-such-program"] }', ""),
        ("", "--session a/b"),
        ("", "--only nowhere"),
        ("", "--from nowhere"),
        ("", "--from check --given empty"),
        ("", "--priority 1000"),
        ("", "--input nowhere"),
        ("", "--output team.toml"),
        ("", "--output team.toml/below"),
    ],
)
def test_a_refused_run_makes_neither_a_state_nor_a_workspace(
    cli: CommandLine, persona: str, arguments: str
) -> None:
    team = cli.team(persona)
    (cli.directory / "empty").mkdir()

    result = typed(cli.directory, "run", team, *arguments.split())

    assert result.code == 2, result.err
    assert {path.name for path in cli.directory.glob("[!.]*")} == {"empty", "team.toml"}


@pytest.mark.parametrize(
    "line",
    [
        "tokens top-up budget {} --reason more",
        "run team.toml --session {}",
        "run team.toml --{}",
        "{}",
    ],
)
def test_a_value_without_end_is_not_repeated_in_full(cli: CommandLine, line: str) -> None:
    cli.team()

    result = typed(cli.directory, *line.format("x" * 3000).split())

    assert result.code in {2, 5}
    assert "x... (3" in result.err
    assert len(result.err) < 400


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("session", "list", "--label", "="), "labels must have a key that matches"),
        (("session", "list", "--state", "typo"), "must be one of queued, running"),
        (
            ("session", "list", "--since", "1h", "--until", "2h"),
            "--until must be later than --since",
        ),
        (("tokens", "report", "--since", "1h", "--until", "2h"), "--until must be later"),
        (("events", "--kind", "typo"), "must be one of alert, attempt"),
    ],
)
def test_a_condition_that_nothing_can_meet_exits_with_2(
    cli: CommandLine, arguments: tuple[str, ...], message: str
) -> None:
    refused = cli(*arguments)

    assert refused.returncode == 2
    assert message in " ".join(refused.stderr.split())
