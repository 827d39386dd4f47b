from pathlib import Path

import msgspec
import pytest

from maestro_actors.help.posting import Posting
from maestro_runtime.tickets import FileSink, TicketNotDelivered


def test_a_ticket_is_a_file_that_says_what_failed_and_what_to_answer(
    tmp_path: Path, first: Posting
) -> None:
    path = Path(FileSink(tmp_path / "tickets").post(first))

    text = path.read_text()
    assert path.parent == tmp_path / "tickets"
    assert text.startswith("# s-1/note: failed_check: exit code 2\n")
    assert "Attempt 1 of round 1: failed_check, 70 tokens, then a pause of 1.5 s" in text
    assert "- a forged line" in text
    assert "maestro-runtime help-needed answer s-1 note --retry" in text
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_the_ticket_of_a_session_says_why_it_is_set_aside_and_how_to_go_on(
    tmp_path: Path, first: Posting
) -> None:
    told = "set aside: its coordinator failed 3 times without progress: KeyError: 'c1'"
    ticket = msgspec.structs.replace(
        first.ticket, task_id="", failure="coordinator_failed", evidence=(told,), attempts=()
    )

    text = Path(FileSink(tmp_path).post(msgspec.structs.replace(first, ticket=ticket))).read_text()

    assert text.startswith(f"# s-1: coordinator_failed: {told}\n")
    assert "Session s-1 is set aside" in text
    assert "help-needed" not in text
    assert "maestro-runtime session resume s-1" in text


def test_posting_again_changes_nothing(tmp_path: Path, first: Posting) -> None:
    sink = FileSink(tmp_path)
    path = Path(sink.post(first))
    before = path.read_bytes()

    assert sink.post(msgspec.structs.replace(first, doubtful=True)) == str(path)

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_repetition_is_added_to_the_same_file(
    tmp_path: Path, first: Posting, second: Posting
) -> None:
    sink = FileSink(tmp_path)

    paths = {sink.post(first), sink.post(second), sink.post(second)}

    (path,) = paths
    assert Path(path).read_text().count("# s-1/note:") == 2


def test_what_a_crash_left_of_a_write_is_no_ticket(tmp_path: Path, first: Posting) -> None:
    (tmp_path / f"{first.fingerprint}.tmp").write_text("half a tick")

    path = Path(FileSink(tmp_path).post(first))

    assert "half" not in path.read_text()
    assert list(tmp_path.iterdir()) == [path]


def test_a_ticket_that_was_given_up_asks_for_no_answer(tmp_path: Path, first: Posting) -> None:
    given_up = msgspec.structs.replace(
        first, ticket=msgspec.structs.replace(first.ticket, state="failed")
    )

    text = Path(FileSink(tmp_path).post(given_up)).read_text()

    assert "has been given up" in text
    assert "help-needed answer" not in text


def test_a_directory_that_cannot_be_written_is_an_error_without_doubt(
    tmp_path: Path, first: Posting
) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(TicketNotDelivered, match="was not delivered by sink 'file'") as caught:
        FileSink(tmp_path / "file" / "tickets").post(first)

    assert not caught.value.doubtful
