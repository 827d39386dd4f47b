"""What is done to the records of a session while nothing runs it."""
