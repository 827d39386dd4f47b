"""What is going on, in figures for Prometheus: from the records, and from a runtime that works."""
