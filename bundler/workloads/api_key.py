"""A service's key, which a file on the node holds: it reaches the server, and is in nothing that is kept or listed.

Given as a flag it would stand in the list of processes, in `docker inspect` and in the server's own log (vLLM logs its
arguments, 0.8.5, api_server.py); given as the container's environment, in `docker inspect`. So the file is mounted
read-only, and what starts the server reads it into the environment of that one process. There root and the container's
own user can read it (proc(5), /proc/PID/environ), who can read the file too.
"""

from __future__ import annotations

KEY_FILE = "/bundle/secret/api-key"

SOURCE = f"""\
import os, sys
key = open({KEY_FILE!r}).read().strip()
if not key:
    sys.exit("the file with the API key is empty")
os.environ[sys.argv[1]] = key
os.execvp(sys.argv[2], sys.argv[2:])
"""


def behind_key(command: tuple[str, ...], variable: str) -> tuple[str, ...]:
    """The command that starts this one with the key in this variable of its environment."""
    return ("python3", "-c", SOURCE, variable, *command)
