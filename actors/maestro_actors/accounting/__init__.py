"""Calls before and after they are booked: the token accountant, and who waits for it."""
