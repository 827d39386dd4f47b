"""A team whose engine edits files instead of writing them anew."""

import json

from command_line import CommandLine

EDITOR = '''
"""First guesses what the file says, then reads what was wrong with that."""


def edit(task):
    if task.ordinal == 1:
        assert task.feedback == ()
        return {
            "output_tokens": 7,
            "edits": [
                {"kind": "whole_file", "path": "extra.md", "content": "x"},
                {"kind": "search_replace", "path": "note.md", "search": "# long", "replace": "#"},
            ],
        }
    [feedback] = task.feedback
    assert "edit 2 of 'note.md' cannot be applied" in feedback, feedback
    assert "found in at least 100, see lines 3, 4, 5" in feedback, feedback
    diff = (
        "--- a/note.md\\n+++ b/note.md\\n@@ -9,9 +9,9 @@\\n"
        " def greet():\\n-    return 'hello'\\n+    return 1\\n"
    )
    return {"output_tokens": 9, "edits": [{"kind": "unified_diff", "diff": diff}]}
'''


def test_a_rejected_plan_is_the_feedback_of_the_next_attempt_which_is_applied(
    cli: CommandLine,
) -> None:
    (cli.directory / "editor.py").write_text(EDITOR)
    team = cli.team('engine = "python"\ncallable = "editor:edit"')
    output = cli.directory / "out"
    output.mkdir()
    source = "def greet():\n    return 'hello'\n" + "# long\n" * 100
    (output / "note.md").write_text(source)

    result = cli("run", team, "--session", "s1", "--output", output, "--json")

    assert result.returncode == 0, result.stderr
    task = json.loads(result.stdout)["tasks"][0]
    assert [(attempt["state"], attempt["failure"]) for attempt in task["attempts"]] == [
        ("failed", "malformed_output"),
        ("ok", ""),
    ]
    assert (output / "note.md").read_text() == source.replace("'hello'", "1")
    assert not (output / "extra.md").exists()
    first, second = (attempt["tokens_saved"] for attempt in task["attempts"])
    assert first == 0
    assert 100 < second == task["tokens_saved"] < len(source) / 3
    shown = cli("session", "show", "s1").stdout.splitlines()
    assert any(line.endswith("  SAVED") for line in shown)
    assert any(line.startswith("note") and line.endswith(f"  {second}") for line in shown)


def test_without_edits_nothing_is_said_about_them(cli: CommandLine) -> None:
    cli("run", cli.team(), "--session", "s1")

    assert "SAVED" not in cli("session", "show", "s1").stdout
