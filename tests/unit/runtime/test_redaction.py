"""Secrets go by their value, however they are spelled, and nothing else goes with them."""

import base64
import json
import pickle
from collections import Counter
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from maestro_actors.team import CommandSpec
from maestro_runtime.redaction import MASK, Redactor, Secret, environment_secrets, team_secrets
from maestro_runtime.testing import simple_team

SECRET = 'kö"y/+ a\\b%'

SPELLINGS = {
    "as it is": SECRET,
    "JSON": json.dumps({"key": SECRET}),
    "JSON in UTF-8": json.dumps({"key": SECRET}, ensure_ascii=False),
    "repr": repr({"key": SECRET}),
    "URL": f"https://host/{quote(SECRET)}?key=1",
    "query": f"https://host/?key={quote_plus(SECRET)}",
    "URL in small letters": quote(SECRET, safe="").lower(),
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(SECRET.encode()).decode(),
    "basic authentication": base64.b64encode(f"me:{SECRET}".encode()).decode(),
    "basic authentication of another": base64.b64encode(f"you:{SECRET}!".encode()).decode(),
}


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS)
def test_a_secret_is_taken_out_however_it_is_spelled(text: str) -> None:
    redactor = Redactor([SECRET])

    assert MASK in redactor.clean(f"said: {text}.")
    assert MASK.encode() in redactor.clean_bytes(f"said: {text}.".encode())
    assert redactor.changes(["something", text])


def test_a_secret_of_four_characters_is_one_and_shorter_ones_and_plain_words_are_not() -> None:
    redactor = Redactor(["q7Zx", "abc", "", "true", "None"])

    assert redactor.clean("q7Zx abc true None") == "*** abc true None"


def test_a_secret_that_contains_another_leaves_nothing_of_itself() -> None:
    assert Redactor(["inner", "an-inner-one"]).clean("an-inner-one, inner") == "***, ***"


def test_the_beginning_of_a_secret_at_the_end_of_a_long_text_goes_with_it() -> None:
    redactor = Redactor(["a-secret-of-some-length"])

    assert redactor.clean("x" * 500 + "a-secret-of-som") == "x" * 500 + MASK
    assert redactor.clean("short, a-secret-of-som") == "short, a-secret-of-som"


@given(st.integers(4, 22), st.text(max_size=30))
def test_the_end_of_a_secret_at_the_beginning_of_a_tail_goes_with_it(size: int, after: str) -> None:
    redactor = Redactor(["a-secret-of-some-length"])
    tail = "a-secret-of-some-length"[-size:].encode()

    assert redactor.clean_bytes(tail + b"\n" + after.encode(), is_tail=True).startswith(b"***\n")
    assert redactor.clean_bytes(tail) == tail


@given(st.integers(4, 22), st.text(max_size=30))
def test_every_beginning_of_a_secret_at_a_cut_off_end_goes(size: int, before: str) -> None:
    redactor = Redactor(["aa-secret-aa-secret-length"])
    text = "x" * 500 + before + "\n"

    assert redactor.clean(text + "aa-secret-aa-secret-length"[:size]) == text + MASK


def test_a_figure_that_is_a_secret_leaves_json_behind() -> None:
    redactor = Redactor(["482916"])

    cleaned = redactor.cleaned({"pin": 482916, "at": [482916.0, 1, True, None], "482916": "x"})

    assert json.loads(json.dumps(cleaned)) == {"pin": MASK, "at": [MASK, 1, True, None], MASK: "x"}


def test_of_a_url_with_a_user_the_password_is_a_secret_by_itself() -> None:
    redactor = Redactor(["postgres://me-myself:hunter22@db/prod"])

    assert redactor.clean("hunter22 of me-myself at db") == "*** of *** at db"


def test_the_lines_of_a_key_are_secret_one_by_one() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\nMIIEvQIBADANBgkqhkiH\n-----END KEY-----"

    assert Redactor([key]).clean("line 2: MIIEvQIBADANBgkqhkiH") == "line 2: ***"


def test_variables_are_secret_by_their_names_but_figures_of_limits_are_not() -> None:
    environ = {
        "SERVICE_API_KEY": "a",
        "my_password": "b",
        "GH_TOKEN": "c",
        "CLIENT_SECRET": "d",
        "AWS_CREDENTIALS": "e",
        "MAESTRO_TOKEN_BUDGET": "100000",
        "MAX_TOKENS": "4096",
        "MAX_TOKEN_SECRET": "f",
        "HOME": "/root",
    }

    assert environment_secrets(environ) == ["a", "b", "c", "d", "e", "f"]


def test_options_of_a_persona_are_secret_by_the_ends_of_their_names() -> None:
    options = {
        "api_key": "a",
        "login": {"Password": "b", "user": "me"},
        "servers": [{"access-token": "c"}, {"name": "x"}],
        "keywords": "design",
        "tokenizer": "gpt",
        "max_token": 4096,
    }
    team = simple_team(options=options)

    assert team_secrets(team, {}) == ["a", "b", "c"]


def test_arguments_of_a_program_are_secret_by_the_names_of_their_options() -> None:
    argv = ("agent", "--api-key", "a", "--token=b", "--max-tokens", "c", "--verbose", "-secret")
    team = simple_team(engine="command", command=CommandSpec(argv=argv))

    assert [secret for secret in team_secrets(team, {}) if secret] == ["a", "b"]


def test_a_redactor_keeps_what_it_knows_when_it_learns_more() -> None:
    redactor = Redactor(["first-secret"])

    redactor.learn(["second-secret"])

    assert redactor.clean("first-secret second-secret") == "*** ***"


def test_a_redactor_forgets_a_secret_as_often_as_it_has_learned_it() -> None:
    redactor = Redactor(["first-secret"])
    redactor.learn(["first-secret", "second-secret"])
    redactor.learn(["second-secret"])

    redactor.forget(["first-secret", "second-secret"])
    once = redactor.clean("first-secret second-secret")
    redactor.forget(["second-secret"])

    assert once == "*** ***"
    assert redactor.clean("first-secret second-secret") == "*** second-secret"


def test_a_redactor_that_has_forgotten_all_looks_for_nothing() -> None:
    redactor = Redactor()
    secrets = ["a first/secret", "https://user:password@host", "line of a long secret\nand another"]
    redactor.learn(secrets)
    assert redactor.reach_bytes > 0

    redactor.forget(secrets)

    assert redactor.reach_bytes == 0
    assert not redactor.changes(secrets)


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from(["secret-one", "secret-two", "secret-one-two"]))
    )
)
def test_a_redactor_that_has_forgotten_is_one_that_has_never_learned(
    steps: list[tuple[bool, str]],
) -> None:
    redactor = Redactor()
    known: Counter[str] = Counter()
    for is_learned, secret in steps:
        if is_learned:
            redactor.learn([secret])
            known[secret] += 1
        elif known[secret]:
            redactor.forget([secret])
            known[secret] -= 1

    text = "secret-one secret-two secret-one-two c2VjcmV0LW9uZQ c2VjcmV0LXR3bw"
    expected = Redactor([secret for secret, count in known.items() if count])
    assert redactor.clean(text) == expected.clean(text)
    assert redactor.reach_bytes == expected.reach_bytes


def test_a_secret_shows_its_value_only_where_it_is_used() -> None:
    secret = Secret("hunter22")

    assert repr(secret) == "'***'"
    assert f"Bearer {secret}" == "Bearer hunter22"
    assert pickle.loads(pickle.dumps(secret)) == "hunter22"  # noqa: S301 - our own bytes


# A secret of asterisks alone could not be told from a mask.
_LETTERS = st.characters(exclude_characters="*", exclude_categories=["Cs"])


@given(st.text(_LETTERS, min_size=4, max_size=20), st.text(max_size=40), st.text(max_size=40))
def test_no_text_has_a_secret_left_whatever_stands_next_to_it(
    secret: str, before: str, after: str
) -> None:
    redactor = Redactor([secret])
    assume(redactor.changes([secret]))

    cleaned = redactor.clean(before + secret + after)

    assert secret.strip() not in cleaned
    assert redactor.clean_bytes((before + secret + after).encode()) == cleaned.encode()
