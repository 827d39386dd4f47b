"""Values that a program keeps between its starts: small, JSON, durable."""

import json
import threading
from pathlib import Path
from typing import Any, ClassVar, Final

from maestro_runtime.executors._shared import resolved_state_dir, shared_runtime
from maestro_runtime.executors.errors import (
    StateKeyInvalid,
    StateManagerConflict,
    StateValueInvalid,
)
from maestro_storage.records import NAME_BYTES_MAX

VALUE_BYTES_MAX: Final = 1 << 19
"""Largest value, as JSON (512 KiB)."""


class StateManager:
    """The values of a state directory: one manager for each directory in a process. Any thread.

    They are kept in the store of the directory, verified by SHA-256 whenever they are read, and
    belong to no session. Methods wait for the disk: on an event loop, call them in a thread.

    Args:
        state_dir: None: `MAESTRO_STATE_DIR`, else `/var/maestro/state`.
        auto_persist: True: what `set_state` has returned from survives power loss. False: it is
            seen at once, and survives once `persist` has returned.

    Raises:
        StateManagerConflict: There is one of this directory that persists otherwise.
        SettingInvalid: `MAESTRO_STATE_DIR` does not name a directory.
    """

    _instances: ClassVar[dict[Path, "StateManager"]] = {}
    _instances_lock: ClassVar = threading.Lock()

    state_dir: Path
    auto_persist: bool
    _lock: threading.Lock
    _unwritten: dict[str, bytes | None]
    """By key, what waits for `persist`; None for a value that is to be deleted."""

    def __new__(  # noqa: PYI034 - it returns the one there is
        cls, state_dir: Path | str | None = None, *, auto_persist: bool = True
    ) -> "StateManager":
        """Return the manager of the directory."""
        path = resolved_state_dir(state_dir)
        with cls._instances_lock:
            found = cls._instances.get(path)
            if found is None:
                found = cls._instances[path] = super().__new__(cls)
                found.state_dir = path
                found.auto_persist = auto_persist
                found._lock = threading.Lock()
                found._unwritten = {}
        if found.auto_persist != auto_persist:
            raise StateManagerConflict(str(path), auto_persist)
        return found

    def get_state(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, or `default` if there is none.

        Raises:
            StateKeyInvalid: It cannot be a key.
            RecordDamaged: The value does not match its digest.
            StateOwned, StateNotWritable, StorageError: The state directory cannot be used.
        """
        _check_key(key)
        with self._lock:
            if key in self._unwritten:
                value = self._unwritten[key]
            else:
                record = shared_runtime(self.state_dir).store.values.get(key)
                value = None if record is None else record.value
        return default if value is None else json.loads(value)

    def set_state(self, key: str, value: Any) -> None:
        """Keep `value` under `key`, over what stands there.

        Raises:
            StateKeyInvalid: The key is not 1 to 120 bytes, or has a NUL.
            StateValueInvalid: The value is not JSON, or larger than 512 KiB.
            StateOwned, StateNotWritable, StorageError: It could not be made durable.
        """
        self._change(key, _encoded(key, value))

    def delete_state(self, key: str) -> None:
        """Forget the value of `key`, if there is one; otherwise as `set_state`."""
        self._change(key, None)

    def persist(self) -> None:
        """Write what waits for it in one transition; durable on return."""
        with self._lock:
            if not self._unwritten:
                return
            shared_runtime(self.state_dir).keep_values(self._unwritten)
            self._unwritten.clear()

    def _change(self, key: str, value: bytes | None) -> None:
        _check_key(key)
        with self._lock:
            self._unwritten[key] = value
        if self.auto_persist:
            self.persist()


def _check_key(key: str) -> None:
    if "\0" in key:
        raise StateKeyInvalid(key, "no NUL")
    if not 0 < len(key.encode(errors="replace")) <= NAME_BYTES_MAX:
        raise StateKeyInvalid(key, f"1 to {NAME_BYTES_MAX} bytes")


def _encoded(key: str, value: Any) -> bytes:
    try:
        encoded = json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise StateValueInvalid(key, str(error)) from error
    if len(encoded) > VALUE_BYTES_MAX:
        raise StateValueInvalid(key, f"at most {VALUE_BYTES_MAX} bytes, got {len(encoded)}")
    return encoded
