"""What the actors need from outside, over the store and the engines: see `maestro_actors.ports`."""
