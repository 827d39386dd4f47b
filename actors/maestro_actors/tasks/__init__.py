"""A task at work: its persona, and each of its steps as a transition."""
