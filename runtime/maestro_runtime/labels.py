"""Labels of a session: what its caller finds it by."""

import re
from collections.abc import Mapping
from typing import Final

from maestro_runtime.errors import LabelInvalid

LABELS_MAX: Final = 16
"""Most labels of a session."""

VALUE_CHARACTERS_MAX: Final = 128
"""Longest value."""

KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
"""Form of the key of a label."""


def checked_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels in the order of their keys.

    Raises:
        LabelInvalid: There are too many, or one breaks a rule.
    """
    if len(labels) > LABELS_MAX:
        raise LabelInvalid(f"must be at most {LABELS_MAX}", str(len(labels)))
    for key, value in labels.items():
        _require_label(key, value)
    return dict(sorted(labels.items()))


def read_wanted_label(text: str) -> tuple[str, str | None]:
    """Return key and value of a label that sessions are to have; no value: any.

    Raises:
        LabelInvalid: No session can have it.
    """
    key, equals, value = text.partition("=")
    _require_label(key, value)
    return key, value if equals else None


def read_labels(texts: tuple[str, ...]) -> dict[str, str]:
    """Return the labels that texts like `team=payments` say.

    Raises:
        LabelInvalid: One breaks a rule, or its key is there twice.
    """
    labels: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise LabelInvalid("must be KEY=VALUE", text)
        if key in labels:
            raise LabelInvalid("must have a key of its own", text)
        labels[key] = value
    return checked_labels(labels)


def _require_label(key: str, value: str) -> None:
    if not KEY.fullmatch(key):
        raise LabelInvalid(f"must have a key that matches {KEY.pattern}", key)
    if len(value) > VALUE_CHARACTERS_MAX or not value.isprintable():
        rule = f"must have a printable value of at most {VALUE_CHARACTERS_MAX} characters"
        raise LabelInvalid(rule, f"{key}={value}")
