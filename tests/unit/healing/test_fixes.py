"""Repairs of a file's text: what they change, and what they leave alone."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_runtime.healing import BUILT_IN, DropTrailingCommas, StripCodeFences

fences = StripCodeFences()
commas = DropTrailingCommas()


@pytest.mark.parametrize(
    ("wrapped", "inside"),
    [
        ("```\nx = 1\n```\n", "x = 1\n"),
        ("```python\nx = 1\n```", "x = 1\n"),
        ("\n\n```json  \n{}\n```\n\n", "{}\n"),
        ("~~~c++\n{}\n~~~\n", "{}\n"),
        ("````\n```\nx\n```\n````\n", "```\nx\n```\n"),
        ("```\r\nx\r\n```\r\n", "x\r\n"),
        ("```\n```", ""),
    ],
)
def test_a_fence_around_the_whole_of_a_file_is_stripped(wrapped: str, inside: str) -> None:
    assert fences.mend("a", wrapped) == inside


@pytest.mark.parametrize(
    "text",
    [
        "",
        "```",
        "x\n```\ny\n```\n",
        "```\nx\n```\ny\n",
        "```\nx\n```\n\n```\ny\n```\n",
        "```\nx\n",
        "```\nx\n~~~\n",
        "```not a word\nx\n```\n",
        "```\nx\n```y\n",
        "```\nx\n``",
    ],
)
def test_what_is_not_one_fence_around_everything_is_left_alone(text: str) -> None:
    assert fences.mend("a", text) is None


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ('{"a": [1, 2,],}', '{"a": [1, 2]}'),
        ('{"a": 1 ,\n\t }', '{"a": 1 \n\t }'),
        ('[",]", "\\",}",]', '[",]", "\\",}"]'),
    ],
)
def test_commas_before_a_closing_bracket_go_and_strings_stay(wrong: str, right: str) -> None:
    assert commas.mend("a.json", wrong) == right
    json.loads(right)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(alphabet='",]}[{\\:` \n\u00e9a', max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(values, st.sampled_from([None, 1]))
def test_valid_json_is_changed_by_no_fix(value: object, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)

    assert [fix.mend("a.json", text) for fix in BUILT_IN] == [None, None]


@given(st.lists(values, min_size=1, max_size=4), st.sampled_from(["", " ", "\n"]))
def test_the_value_of_json_with_trailing_commas_is_kept(items: list[object], gap: str) -> None:
    text = "[" + ",".join(json.dumps(item) for item in items) + "," + gap + "]"

    mended = commas.mend("a.json", text)

    assert mended is not None
    assert json.loads(mended) == items


@given(
    st.text(), st.sampled_from(["```", "~~~", "`````"]), st.sampled_from(["", "json", "python3"])
)
def test_what_a_fence_was_put_around_comes_back_whole_or_not_at_all(
    text: str, fence: str, language: str
) -> None:
    content = text if text.endswith("\n") else f"{text}\n"

    mended = fences.mend("a", f"{fence}{language}\n{content}{fence}\n")

    if not any(line.startswith(fence) for line in content.splitlines()):
        assert mended == content
    else:
        assert mended in (None, content)


@pytest.mark.parametrize(
    "hostile", ['"\\' * 500_000, '"' + "\\" * 1_000_001, "," * 1_000_000, ", " * 500_000]
)
def test_a_hostile_text_costs_no_more_than_its_length(hostile: str) -> None:
    assert commas.mend("a.json", hostile) is None
    assert fences.mend("a.json", hostile) is None
