"""Properties are judged by what they say: not by a busy machine, by luck, or by who runs them."""

import os
import signal

from hypothesis import HealthCheck, settings

settings.register_profile(
    "suite",
    deadline=None,
    # A fixture that drawn examples share is meant to be shared.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    # What has passed passes again; campaigns look for what nobody has drawn yet.
    derandomize="MAESTRO_MODEL_PROGRAMS" not in os.environ,
)
settings.load_profile("suite")

# Of thousands of interpreters that the tests start, each would compile all modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell has its background jobs ignore it, and they would hand that on to the programs they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
