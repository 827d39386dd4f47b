import os
from pathlib import Path

import pytest

from maestro_runtime.config import REQUIREMENT_BYTES_MAX, RequirementInvalid, read_requirement


@pytest.mark.parametrize("text", ["Build it", "a\nb", "é", "mail@example.org", "x" * 4096])
def test_a_text_is_the_requirement_itself(text: str) -> None:
    assert read_requirement(text) == text


def test_an_at_sign_names_a_file(tmp_path: Path) -> None:
    path = tmp_path / "requirement.md"
    path.write_text("# Build\nit: é\n", encoding="utf-8")

    assert read_requirement(f"@{path}") == "# Build\nit: é\n"


def test_the_largest_requirement_is_the_bound_in_bytes(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * REQUIREMENT_BYTES_MAX)
    assert len(read_requirement(f"@{path}")) == REQUIREMENT_BYTES_MAX

    path.write_bytes(b"x" * (REQUIREMENT_BYTES_MAX + 1))
    with pytest.raises(RequirementInvalid, match=r"must have at most 1048576 bytes, got more$"):
        read_requirement(f"@{path}")
    with pytest.raises(RequirementInvalid, match=r"must have at most 1048576 bytes, got 1048578$"):
        read_requirement("é" * (REQUIREMENT_BYTES_MAX // 2 + 1))


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_a_blank_requirement_is_refused(text: str) -> None:
    with pytest.raises(RequirementInvalid, match=r"^requirement from --requirement must not be bl"):
        read_requirement(text)


def test_bytes_of_the_command_line_that_are_not_utf8_are_refused() -> None:
    with pytest.raises(RequirementInvalid, match=r"^requirement from --requirement must be UTF-8$"):
        read_requirement(os.fsdecode(b"a\xff"))


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin"
    path.write_bytes(b"ab\xff")

    with pytest.raises(RequirementInvalid, match=r"must be UTF-8, got another byte at offset 2$"):
        read_requirement(f"@{path}")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequirementInvalid) as caught:
        read_requirement(f"@{tmp_path}/none")

    assert str(caught.value) == (
        f"requirement from @{tmp_path}/none cannot be read: No such file or directory"
    )


@pytest.mark.parametrize("value", ["@", "@/", "@a\0b"])
def test_what_is_no_file_is_refused(value: str) -> None:
    with pytest.raises(RequirementInvalid, match="cannot be read: "):
        read_requirement(value)
