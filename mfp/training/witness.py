"""A small process beside each training process, which says what its end cannot say itself.

When process 0 is gone, JAX ends the others at once, from C++, with a stack trace (its client,
coordination_service_agent.cc). This one then says in a line who is missing.

    python -m mfp.training.witness HOST PORT PROCESS     it ends with its standard input
"""

from __future__ import annotations

import socket
import sys


def main(host: str, port: str, process: str) -> None:
    """Wait for the end of the training process; a last word on standard input is a proper end."""
    if sys.stdin.read():
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        print(
            f"Error: process 0, which coordinates the others at {host}:{port}, is gone: "
            f"process {process} stops too. Run the same command for all processes to resume.",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
