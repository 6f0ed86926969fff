"""Processes of a benchmark: started on one core, measured from outside, stopped without fail.

In: a command. Out: a running process, and what the operating system says of it and of its children:
CPU seconds of all threads, resident memory, open files. It ends only what it has started, and what
it has started ends with it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parent.parent
_PAGE = resource.getpagesize()
_PR_SET_PDEATHSIG = 1
_STOP_SECONDS = 10.0
_libc = ctypes.CDLL(None, use_errno=True)


class Cores:
    """Which core runs what: servers on one, load and provider on another, if there is another."""

    def __init__(self) -> None:
        self.available = sorted(os.sched_getaffinity(0))
        self.server = self.available[0]
        self.load = self.available[1 % len(self.available)]


class Process:
    """A running command, pinned to `core`. `output` is the file that its output goes to."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        core: int,
        environment: Mapping[str, str] | None = None,
        directory: Path = ROOT,
    ) -> None:
        self.output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `stop`
        self.started = time.perf_counter()
        self._popen = subprocess.Popen(
            argv,
            cwd=directory,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.output,
            start_new_session=True,
            preexec_fn=_tied_to(os.getpid(), core),
        )
        self.pid = self._popen.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    def cpu_seconds(self) -> float:
        """CPU time of all its threads and its children so far, user and system."""
        return sum(map(_cpu_seconds, self._family()))

    def rss_bytes(self) -> int:
        """Resident memory of it and its children."""
        return sum(_rss_bytes(pid) for pid in self._family())

    def open_files(self) -> dict[str, int]:
        """How many files it has open, by kind: `socket`, `pipe`, a path."""
        kinds: dict[str, int] = {}
        for entry in Path(f"/proc/{self.pid}/fd").iterdir():
            with suppress(OSError):
                kind = os.readlink(entry).partition(":")[0]
                kinds[kind] = kinds.get(kind, 0) + 1
        return kinds

    def thread_count(self) -> int:
        """How many threads it has."""
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def stop(self) -> None:
        """Ask it to end, and end it when it does not."""
        family = self._family()
        if self.running:
            self._popen.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(_STOP_SECONDS)
        for pid in family[1:]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.running:
            self._popen.kill()
            self._popen.wait()
        self.output.close()

    def tail(self, size: int = 2000) -> str:
        """The end of its output."""
        end = self.output.seek(0, os.SEEK_END)
        self.output.seek(max(0, end - size))
        return self.output.read().decode(errors="replace")

    def _family(self) -> list[int]:
        pids = [self.pid]
        for pid in pids:
            pids += _children(pid)
        return pids


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(process: Process, port: int, *, seconds: float, pause: float = 0.005) -> None:
    """Return when somebody listens; raises `RuntimeError` when the process ends, or too late."""
    deadline = time.perf_counter() + seconds
    while True:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        if not process.running or time.perf_counter() > deadline:
            raise RuntimeError(f"Not listening on port {port}:\n{process.tail()}")
        time.sleep(pause)


def end_on_sigterm() -> None:
    """Let SIGTERM unwind the stack, so that every process is stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def raise_file_limit() -> None:
    """As many open files as the system lets us have: 1,000 streams need 2,000 in the server."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _tied_to(parent: int, core: int) -> Callable[[], None]:
    def prepare() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        os.sched_setaffinity(0, {core})
        raise_file_limit()

    return prepare


def _children(pid: int) -> Iterable[int]:
    children: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += map(int, (task / "children").read_text().split())
    return children


def _cpu_seconds(pid: int) -> float:
    # The clock of another process's CPU time, see clock_getcpuclockid(3): the sum that
    # /proc/PID/stat shows in hundredths of a second, in nanoseconds.
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return _ticks(pid) / os.sysconf("SC_CLK_TCK")


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def _rss_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except OSError:
        return 0
