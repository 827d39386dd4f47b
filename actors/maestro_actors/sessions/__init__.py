"""A session at work: its coordinator, its plan, and what may run next."""
