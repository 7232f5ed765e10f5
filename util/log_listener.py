"""Print what runs of pipegraph on this machine log, as it comes.

    python util/log_listener.py [--port 5005] [--errors-only]

Several runs may speak at once. Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import socket
import sys

ERRORS = (" failed  ", " blocked ", " warning ", " slave died", " lost  ", " stopped ")


def main() -> int:
    parser = argparse.ArgumentParser(description="Print what runs of pipegraph on this machine log.")
    parser.add_argument("--port", type=int, default=5005)
    parser.add_argument("--errors-only", action="store_true")
    arguments = parser.parse_args()
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        listener.bind(("127.0.0.1", arguments.port))
    except OSError as error:
        print(f"can't listen on port {arguments.port}: {error.strerror}. Another listener?", file=sys.stderr)
        return 1
    print(f"listening on port {arguments.port}; Ctrl-C ends", file=sys.stderr)
    try:
        while True:
            text = listener.recv(65536).decode("utf-8", "backslashreplace")
            for line in text.splitlines():
                if not arguments.errors_only or any(word in line for word in ERRORS):
                    # Whoever sent this need not have been pipegraph.
                    print("".join(each if each.isprintable() else ascii(each)[1:-1] for each in line), flush=True)
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        return 0


if __name__ == "__main__":
    sys.exit(main())
