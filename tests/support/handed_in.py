"""What tests of the journal hand in, and what its engine raises."""

import os

import lmdb

from maestro_storage.transition import Transition


def delivering(transition: Transition, *messages: str) -> Transition:
    """Return a transition that sends messages once it is durable."""
    for message in messages:
        transition.then("actor", message.encode())
    return transition


def engine_error(code: int) -> lmdb.Error:
    """Return an error as the engine raises it."""
    error = lmdb.Error(f"mdb_txn_commit: {os.strerror(code)}")
    vars(error)["code"] = code
    return error
