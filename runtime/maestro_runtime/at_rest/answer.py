"""Answering a task in a state directory that no runtime is open on."""

import time

from maestro_actors.help.answer import Answer, answered, questions_of
from maestro_actors.ledger.budget import Caller
from maestro_actors.ledger.ledger import Ledger
from maestro_actors.ledger.rows import loader, persona_budget, row_of
from maestro_runtime.ports.memory import StoreMemory
from maestro_runtime.recorded import recorded_team
from maestro_storage import Store


def answer_at_rest(store: Store, session_id: str, task_id: str, answer: Answer) -> None:
    """Answer a task of a state directory that no runtime is open on; durable on return.

    The session goes on when it is resumed.

    Raises:
        NotFound: There is no such task.
        HelpNotAwaited: The task does not wait for a person.
        AnswerInvalid: The answer breaks a rule.
        SessionQuarantined: A record of the session is damaged.
        StorageError: The answer could not be written.
    """
    session = store.require_session(session_id)
    memory = StoreMemory(store)
    task = memory.task(session_id, task_id)
    team = recorded_team(store, session)
    questions = questions_of(team, task, store.payloads.require)
    now_ms = time.time_ns() // 1_000_000
    draft = answered(session, task, answer, now_ms, store.epoch, questions)
    if answer.add_tokens:
        limit_tokens = team.personas[task.persona_id].token_budget
        budget = persona_budget(task.persona_id, limit_tokens)
        ledger = Ledger(loader(memory.counter))
        caller = Caller(session_id, task.persona_id)
        for counter in ledger.top_up(budget, caller, answer.add_tokens, now_ms).counters:
            draft.put(row_of(counter, now_ms, store.epoch))
    store.journal.commit(draft).result()
