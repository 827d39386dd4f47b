"""The connection between a daemon and its clients: frames over a UNIX socket, typed errors."""
