"""How sessions begin and go on: what is looked at first, and the first transition of each."""
