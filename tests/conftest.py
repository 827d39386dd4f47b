"""Properties are judged by what they say, not by how busy the machine is or what was drawn."""

import os

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
