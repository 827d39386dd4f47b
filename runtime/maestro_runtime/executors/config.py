"""How the two levels of an execution try, and where their state is kept."""

from pathlib import Path
from typing import Final

import msgspec

from maestro_actors.team import BreakerPolicy, RetryPolicy
from maestro_runtime.config.settings import STATE_DIR_DEFAULT
from maestro_runtime.executors._shared import resolved_state_dir

DEFAULT_STATE_PATH: Final = Path(STATE_DIR_DEFAULT)
"""Where state is kept unless `MAESTRO_STATE_DIR` or a `StateConfig` names another directory."""

RetryConfig = RetryPolicy
"""Level 1 has `max_attempts`, level 2 `max_rounds` of it. `MAESTRO_*` variables go over both."""

BreakerConfig = BreakerPolicy
"""When the circuit breaker of level 2 opens, and for how long."""


class StateConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where state is kept, and what is done with what is found there."""

    state_dir: Path = msgspec.field(default_factory=resolved_state_dir)
    """Default: `MAESTRO_STATE_DIR` as it is at that moment, else `DEFAULT_STATE_PATH`."""
    auto_resume: bool = True
    """Whether a new executor goes on with what an earlier process was doing."""


class ExecutionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    retry: RetryConfig = RetryConfig()
    breaker: BreakerConfig = BreakerConfig()
    state: StateConfig = msgspec.field(default_factory=StateConfig)
