"""State of the platform."""
