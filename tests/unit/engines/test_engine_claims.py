from maestro_runtime.engines._claims import CLAIMS_MAX, claimed_missing


def test_only_quoted_paths_of_the_contract_that_are_not_there_are_claims() -> None:
    message = (
        "I wrote `src/a.py`, 'src/b.py', \"./src/c.py\" and `/ws/src/d.py`, as src/*.py asks; "
        "see `README.md`, src/e.py and `src/*.py`."
    )

    found = claimed_missing(message, "/ws", ("src/*.py",), {"src/a.py"})

    assert found == ("src/b.py", "src/c.py", "src/d.py")


def test_a_claim_is_told_once_and_their_number_is_bounded() -> None:
    message = " ".join(f"`{number}.md` `{number}.md`" for number in range(100))

    found = claimed_missing(message, "/ws", ("*.md",), ())

    assert found == tuple(f"{number}.md" for number in range(CLAIMS_MAX))
