"""A ticket as text, for a person: what failed, how often it was tried, and what to answer."""

from maestro_actors.help.posting import Posting, Ticket, TicketAttempt


def mark_of(posting: Posting) -> str:
    """Return the line by which a posting is found again where it has been delivered."""
    return f"Reference: {posting.posting_id}"


def is_marked(text: str, posting: Posting) -> bool:
    """Whether a posting has been delivered into `text`."""
    return mark_of(posting) in (line.strip() for line in text.splitlines())


def body_of(posting: Posting) -> str:
    """Return the text of a posting, in Markdown that reads well as plain text."""
    ticket = posting.ticket
    lines = _about_task(ticket) if ticket.task_id else _about_session(ticket)
    return "\n".join((*lines, "", mark_of(posting))) + "\n"


def _about_session(ticket: Ticket) -> list[str]:
    """Tell of a session that was set aside."""
    return [
        f"Session {ticket.session_id} is set aside: nobody goes on with it until it is resumed.",
        "",
        f"- failure: {ticket.failure}",
        "",
        "What was seen:",
        *_bullets(ticket.evidence),
        "",
        f"What it has done is kept: {ticket.tokens_used} tokens in all.",
        "The log of the process that ran it has the tracebacks.",
        "",
        f"To see where it stands: maestro-runtime session show {ticket.session_id}",
        f"Once the cause is gone: maestro-runtime session resume {ticket.session_id}",
    ]


def _about_task(ticket: Ticket) -> list[str]:
    """Tell of a task that has failed for good."""
    lines = [
        *_facts(ticket),
        "",
        "What was seen:",
        *(_bullets(ticket.evidence) or ["- no evidence"]),
        "",
        f"Attempts: {ticket.attempt_count}, {ticket.tokens_used} tokens in all",
    ]
    for attempt in ticket.attempts:
        lines += ["", _attempt(attempt), *_bullets(attempt.evidence)]
        lines += _bullets(tuple(f"healing: {what}" for what in attempt.healing))
    return [*lines, "", *_answers(ticket)]


def _facts(ticket: Ticket) -> list[str]:
    name = " ".join(ticket.contract.split())
    fate = "waits for an answer" if ticket.state == "help_needed" else "has been given up"
    return [
        f"Contract {name} ({ticket.task_id}) of session {ticket.session_id} {fate}.",
        "",
        f"- phase: {ticket.phase}",
        f"- persona: {ticket.persona_id}",
        f"- engine: {ticket.engine}",
        f"- failure: {ticket.failure}",
    ]


def _bullets(sentences: tuple[str, ...]) -> list[str]:
    return ["- " + " ".join(sentence.split()) for sentence in sentences]


def _attempt(attempt: TicketAttempt) -> str:
    pause = "" if attempt.delay_ms is None else f", then a pause of {attempt.delay_ms / 1000:.1f} s"
    return (
        f"Attempt {attempt.attempt} of round {attempt.round}: {attempt.failure or 'ok'}, "
        f"{attempt.tokens} tokens{pause}"
    )


def _answers(ticket: Ticket) -> list[str]:
    if ticket.state != "help_needed":
        return ["Nothing waits: what depends on this contract is blocked."]
    command = f"maestro-runtime help-needed answer {ticket.session_id} {ticket.task_id}"
    return [
        "What to answer:",
        f"- try again: {command} --retry",
        f"- try again, with advice: {command} --note TEXT",
        f"- try again, with more tokens for {ticket.persona_id}: {command} --raise-budget TOKENS",
        *_top_up(ticket),
        *([f"- yes: {command} --accept"] if ticket.failure == "unanswered" else []),
        f"- go on without it: {command} --skip",
        f"- end it: {command} --give-up",
        "",
        f"Then: maestro-runtime session resume {ticket.session_id}",
    ]


def _top_up(ticket: Ticket) -> list[str]:
    """Return how to pay, if no budget did: one of the team is not raised by an answer."""
    if ticket.failure != "limit" or any(item.failure == "limit" for item in ticket.attempts):
        return []
    command = "maestro-runtime tokens top-up BUDGET AMOUNT --reason TEXT"
    return [f"- try again, with more in the budget that could not pay: {command}"]
