import sys
from pathlib import Path
from typing import Any

import pytest

from maestro_actors import checks
from maestro_actors.checks import Check

COUNT = (
    "open('/dev/stdout', 'a'); import pathlib; p = pathlib.Path(r'{log}'); p.open('a').write('x')"
)


def counting(log: Path, **options: Any) -> checks.Command:
    return checks.Command(argv=(sys.executable, "-c", COUNT.format(log=log)), **options)


def test_a_program_whose_files_are_the_same_is_not_run_again(bench: Any, tmp_path: Path) -> None:
    log = tmp_path / "runs"
    check = counting(log, files=("*.md",))
    bench.write({"a.md": "a"})
    first = bench.one(check)

    second = bench.one(check, known=(first,))
    bench.write({"a.md": "b"})
    third = bench.one(check, known=(second,))

    assert [result.reused for result in (first, second, third)] == [False, True, False]
    assert log.read_text() == "xx"


def test_a_program_runs_again_when_it_is_itself_another(bench: Any, tmp_path: Path) -> None:
    script = tmp_path / "check.py"
    script.write_text("raise SystemExit(1)")
    check = checks.Command(argv=(sys.executable, str(script)), files=("*.md",))
    bench.write({"a.md": "a"})
    first = bench.one(check)

    script.write_text("")
    second = bench.one(check, known=(first,))

    assert (first.verdict, second.verdict) == ("fail", "pass")


def test_without_files_of_its_own_a_program_is_always_run(bench: Any, tmp_path: Path) -> None:
    log = tmp_path / "runs"
    bench.write({"a.md": "a"})
    first = bench.one(counting(log))

    assert not bench.one(counting(log), known=(first,)).reused
    assert log.read_text() == "xx"


@pytest.mark.parametrize(
    "check", [checks.PythonCompiles(), checks.TextRegex(pattern="x")], ids=["compiles", "regex"]
)
@pytest.mark.parametrize("content", ["x = 1", "y = ("], ids=["good", "bad"])
def test_a_check_of_content_keeps_pass_and_fail_alike(
    bench: Any, check: Check, content: str
) -> None:
    bench.write({"a.py": content})
    first = bench.one(check)

    second = bench.one(check, known=(first,))

    assert (second.verdict, second.got) == (first.verdict, first.got)
    assert second.reused


def test_an_error_is_never_kept(bench: Any) -> None:
    bench.write({"a": "x"})
    check = checks.TextRegex(pattern="(")
    first = bench.one(check)

    assert first.verdict == "error"
    assert not bench.one(check, known=(first,)).reused


def test_what_an_earlier_attempt_changed_stays_changed_while_it_is_the_same(bench: Any) -> None:
    check = checks.ChangedSinceStart()
    first = bench.one(check, written={"a.md": "a"})

    again = bench.one(check, known=(first,))
    without = bench.one(check)

    assert (first.verdict, again.verdict, without.verdict) == ("pass", "pass", "fail")


def test_a_result_of_another_kind_is_not_taken_over(bench: Any) -> None:
    bench.write({"a.py": "x = 1"})
    other = bench.one(checks.TextRegex(pattern="y"))

    assert bench.one(checks.PythonCompiles(), known=(other,)).verdict == "pass"
