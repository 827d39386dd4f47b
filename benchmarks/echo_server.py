"""What a round trip costs at least: a process that sends back what it gets.

`python echo_server.py SOCKET` prints a line when it listens, and serves one connection.
"""

import socket
import sys


def main(path: str) -> None:
    """Echo until the peer hangs up."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        print("listening", flush=True)
        connection, _ = listener.accept()
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)


if __name__ == "__main__":
    main(*sys.argv[1:])
