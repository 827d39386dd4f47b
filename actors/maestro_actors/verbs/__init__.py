"""What can be asked of a session on record: from its records to a transition, without actors."""
