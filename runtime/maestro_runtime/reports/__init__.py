"""What is on record, as people read it: sessions, breakers, who waits for a person. They only read.

Reports are frozen views with a stable JSON shape.
"""
