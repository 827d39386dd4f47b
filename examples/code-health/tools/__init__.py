"""The tools of the code-health team; each file is the work of one persona."""
