"""The unit files that are shipped fit the program, and the figures of the document are true."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from console import blocks_of
from maestro_runtime.cli import serve
from maestro_runtime.cli._exit import ExitCode
from maestro_runtime.config._daemon_tables import DaemonFile
from maestro_runtime.config.daemon import DRAIN_SECONDS
from maestro_runtime.config.daemon_file import read_daemon_file
from maestro_runtime.config.settings import STATE_DIR_DEFAULT
from maestro_runtime.daemon._starts import UNCLEAN_MAX, WINDOW_MS
from maestro_runtime.options import RuntimeOptions

ROOT = Path(__file__).parents[3]
UNITS = ROOT / "packaging" / "systemd"
UNIT = UNITS / "maestro-runtime.service"
DROP_IN = UNITS / "maestro-runtime.service.d" / "engines.conf"
ANALYZE = shutil.which("systemd-analyze")
DOCUMENT = (ROOT / "docs" / "daemon.md").read_text()


def settings_of(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            yield key, value


@pytest.fixture
def unit() -> dict[str, str]:
    return dict(settings_of(UNIT))


def test_the_command_of_the_unit_is_one_that_the_program_takes(unit: dict[str, str]) -> None:
    program, verb, *flags = unit["ExecStart"].split()
    context = serve.command.make_context(verb, flags)

    assert program.endswith("/maestro-runtime")
    assert verb == serve.command.name
    assert context.params["state_dir"] == STATE_DIR_DEFAULT
    assert Path(STATE_DIR_DEFAULT).is_relative_to(unit["ReadWritePaths"])


def test_a_stop_may_take_as_long_as_a_drain_and_what_follows_it(unit: dict[str, str]) -> None:
    follows = 3 * RuntimeOptions().stop_grace_seconds

    assert float(unit["TimeoutStopSec"]) > DRAIN_SECONDS + follows
    assert unit["KillMode"] == "mixed"


def test_what_another_start_would_find_again_prevents_it(unit: dict[str, str]) -> None:
    hopeless = {ExitCode.USAGE, ExitCode.OWNED, ExitCode.DAMAGED}

    assert {int(code) for code in unit["RestartPreventExitStatus"].split()} == hopeless


def test_safe_mode_can_start_after_the_crashes_that_lead_to_it(unit: dict[str, str]) -> None:
    assert int(unit["StartLimitBurst"]) > UNCLEAN_MAX
    assert int(unit["StartLimitIntervalSec"]) * 1000 <= WINDOW_MS
    assert float(unit["RestartSec"]) * UNCLEAN_MAX * 1000 < WINDOW_MS


def test_the_manager_is_told_and_asks(unit: dict[str, str]) -> None:
    assert unit["Type"] == "notify"
    assert float(unit["WatchdogSec"]) > 0
    assert unit["ExecReload"] == "/bin/kill -HUP $MAINPID"


def test_the_drop_in_changes_only_what_the_unit_sets(unit: dict[str, str]) -> None:
    assert {key for key, _ in settings_of(DROP_IN)} <= set(unit)


def test_the_configuration_of_the_document_has_every_key_and_no_mistake(tmp_path: Path) -> None:
    [text] = [block for language, block in blocks_of(DOCUMENT) if language == "toml"]
    path = tmp_path / "maestro.toml"
    path.write_text(text.replace('"alice", "1001"', '"root"').replace('"maestro" ', '"root" '))

    loaded = read_daemon_file(path)

    assert set(DaemonFile.__struct_fields__) <= set(re.findall(r"^\[*(\w+)", text, re.MULTILINE))
    assert loaded.access.group == 0
    assert loaded.policy.sessions_running == 20


@pytest.mark.skipif(ANALYZE is None, reason="needs systemd")
@pytest.mark.parametrize("profile", ["hardened", "engines"])
def test_the_exposure_is_that_of_the_document(tmp_path: Path, profile: str) -> None:
    unit = tmp_path / UNIT.name
    shutil.copy(UNIT, unit)
    if profile == "engines":
        shutil.copytree(DROP_IN.parent, tmp_path / DROP_IN.parent.name)

    result = subprocess.run(
        [str(ANALYZE), "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", result.stdout)
    assert found is not None, result.stderr
    # Releases of systemd weigh a little differently.
    figures = [float(figure) for figure in re.findall(r"\*\*([0-9.]+)\*\*", DOCUMENT)]
    assert float(found[1]) == pytest.approx(figures[profile == "engines"], abs=0.3)
