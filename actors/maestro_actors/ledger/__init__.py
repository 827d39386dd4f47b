"""Token accounting without actors and without I/O: budgets, counters, prices."""
