"""Statements of account: usage, budgets, waste, lost calls and alerts. They only read."""
