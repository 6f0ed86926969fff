"""Servers that a test may kill: PostgreSQL and Redis as `scripts/services` starts them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "services"


class Services:
    """Servers of our own, to be killed."""

    def __init__(self) -> None:
        self.folder = ""
        self.start()

    def start(self) -> None:
        """Start them, or those that were killed."""
        command = [SCRIPT, "start", *([self.folder] if self.folder else [])]
        output = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
        lines = [line.removeprefix("export ").split("=", 1) for line in output.splitlines()]
        values = {name: value.strip("'") for name, value in lines}
        self.folder = values["WAYSTONE_TEST_SERVICES"]
        self.urls = {
            "postgresql": values["WAYSTONE_TEST_POSTGRESQL_URL"],
            "redis": values["WAYSTONE_TEST_REDIS_URL"],
        }

    def stop(self) -> None:
        """Stop both, and throw away what they hold."""
        subprocess.run([SCRIPT, "stop", self.folder], check=True)

    def kill(self, kind: str) -> None:
        """End one without giving it the time to tidy up."""
        if kind == "redis":
            os.kill(int(Path(self.folder, "redis.pid").read_text()), signal.SIGKILL)
            return
        # Killed outright, its children would keep the next one from starting.
        file = Path(self.folder, "postgresql", "postmaster.pid")
        os.kill(int(file.read_text().split()[0]), signal.SIGQUIT)
        while file.exists():
            time.sleep(0.01)

    def signal(self, kind: str, number: signal.Signals) -> None:
        """Send all processes of one a signal, such as that to stop and that to go on."""
        if kind == "redis":
            main = int(Path(self.folder, "redis.pid").read_text())
        else:
            main = int(Path(self.folder, "postgresql", "postmaster.pid").read_text().split()[0])
        for process in (main, *children(main)):
            os.kill(process, number)


def children(parent: int) -> list[int]:
    """The processes that a process has started itself."""
    found: list[int] = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = file.read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent:
                found.append(int(file.parent.name))
    return found
