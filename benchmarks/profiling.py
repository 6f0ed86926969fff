"""A profile of a server from within, by samples: which function takes how much of a request.

In: the ASGI application. Out: `Entry`s at the second request for `PROFILE_PATH`; the first starts.
A timer interrupts the event loop's thread at random moments, and the handler notes the Python
functions on the stack: what is measured stays as it was (cProfile makes a request three times as
slow). C functions count for the Python function that called them. A signal that came while none ran
is delivered at the first instruction of the next one, and is told by that. A server that is always
busy is sampled some 2,000 times a second; one that waits in between by the clock of its CPU time
(`?waiting`), which ticks but 250 times a second or so.
"""

from __future__ import annotations

import dis
import random
import signal
import sysconfig
from collections import defaultdict
from pathlib import Path
from time import thread_time
from types import CodeType, FrameType
from typing import Any

import msgspec

from .floor import Message, Receive, Send

PROFILE_PATH = "/__profile__"
EVENT_LOOP = "event loop and kernel"
_SHORTEST, _LONGEST = 0.0002, 0.0008
_LIBRARY = sysconfig.get_path("stdlib")
_RESUME = dis.opmap["RESUME"]
_BASE = "Runner.run"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One function: the CPU seconds for which it was running, and was on the stack."""

    function: str
    room: str
    running: float
    present: float


class Profiled:
    """The application, with a profiler that `PROFILE_PATH` starts and stops."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._sampler: Sampler | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PROFILE_PATH:
            await self._application(scope, receive, send)
            return
        body = b"[]"
        if self._sampler is None:
            self._sampler = Sampler(waiting=scope["query_string"] == b"waiting")
            self._sampler.start()
        else:
            body = msgspec.json.encode(self._sampler.stop())
            self._sampler = None
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


class Sampler:
    """Counts functions by the timer's signals; `waiting` if the server is not always busy."""

    def __init__(self, *, waiting: bool) -> None:
        self._signal = signal.SIGPROF if waiting else signal.SIGALRM
        self._timer = signal.ITIMER_PROF if waiting else signal.ITIMER_REAL
        self._running: defaultdict[CodeType | None, float] = defaultdict(float)
        self._present: defaultdict[CodeType, float] = defaultdict(float)
        self._last = 0.0

    def start(self) -> None:
        """Begin; the signal and its timer must be nobody else's."""
        signal.signal(self._signal, self._sample)
        self._last = thread_time()
        self._arm()

    def stop(self) -> list[Entry]:
        """End, and tell."""
        signal.setitimer(self._timer, 0)
        loop = self._running.pop(None, 0.0)
        found = [
            Entry(
                function=code.co_qualname,
                room=_room(code.co_filename),
                running=self._running[code],
                present=present,
            )
            for code, present in self._present.items()
        ]
        found.append(Entry(function=EVENT_LOOP, room=EVENT_LOOP, running=loop, present=loop))
        return found

    def _arm(self) -> None:
        signal.setitimer(self._timer, random.uniform(_SHORTEST, _LONGEST))

    def _sample(self, number: int, frame: FrameType | None) -> None:
        # A sample weighs what the thread has worked since the last one: waiting weighs nothing.
        now = thread_time()
        weight = now - self._last
        if frame is None or _is_between(frame):
            self._running[None] += weight
        else:
            self._running[frame.f_code] += weight
            present = set()
            while frame is not None and frame.f_code.co_qualname != _BASE:
                present.add(frame.f_code)
                frame = frame.f_back
            for code in present:
                self._present[code] += weight
        self._arm()
        self._last = thread_time()


def _is_between(frame: FrameType) -> bool:
    """Whether the event loop had only begun to call this, or was running itself."""
    caller = frame.f_back
    if frame.f_code.co_qualname == _BASE:
        return True
    if caller is None or caller.f_code.co_qualname != _BASE:
        return False
    return frame.f_code.co_code[frame.f_lasti] == _RESUME


def _room(path: str) -> str:
    parts = Path(path).with_suffix("").parts
    for package in ("waystone_asgi", "benchmarks"):
        if package in parts:
            return ".".join(parts[len(parts) - 1 - parts[::-1].index(package) :])
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1]
    return "standard library" if path.startswith(_LIBRARY) else path
