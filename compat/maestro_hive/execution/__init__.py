"""Removed executors."""
