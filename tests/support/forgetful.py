"""A daemon that keeps few sessions that have ended, and looks often: `forgetful.py 1 serve`."""

import sys
from dataclasses import replace
from typing import Any

from maestro_runtime import RuntimeOptions
from maestro_runtime.cli import main
from maestro_runtime.daemon import _process
from maestro_storage import RetentionPolicy, StoreOptions

if __name__ == "__main__":
    kept = StoreOptions(retention=RetentionPolicy(sessions_max=int(sys.argv.pop(1))))
    init = _process.Daemon.__init__

    def forgets(self: _process.Daemon, settled: Any, options: RuntimeOptions, environ: Any) -> None:
        init(self, settled, replace(options, store=kept), environ)

    _process.Daemon.__init__ = forgets  # type: ignore[method-assign] # that is its weakness
    _process.RETENTION_SECONDS = 0.0  # type: ignore[misc] # as above
    _process.TICK_SECONDS = 0.1  # type: ignore[misc] # as above
    main()
