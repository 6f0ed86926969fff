"""Breaks the silence of streams: a comment to each caller to whom nothing was sent for a while.

In: replies whose stream has begun. Out: comments between their events, never within one. One ticker
looks at all of them now and then, so that an event costs no timer and no look at a clock.
"""

from __future__ import annotations

import anyio
from anyio.abc import TaskGroup

from .responses import Comment, Reply

LOOKS = 15
"""How often a stream is looked at in the time after which it is kept alive."""


class KeepAlives:
    """The streams under way, each of which gets a comment after `seconds` without anything else.

    The silence is the caller's: a guard that holds events back, or a provider that sends none.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: dict[Reply, float] = {}
        self._filled = anyio.Event()

    def add(self, reply: Reply) -> None:
        """The stream's head has been sent."""
        self._since[reply] = 0.0
        if len(self._since) == 1:
            self._filled.set()

    def remove(self, reply: Reply) -> None:
        """The stream has ended, or has been given up."""
        del self._since[reply]
        if reply.comment is not None:
            reply.comment.cancel()

    async def run(self, tasks: TaskGroup) -> None:
        """Look at the streams until cancelled, and send comments in `tasks`."""
        while True:
            if not self._since:
                self._filled = anyio.Event()
                await self._filled.wait()
            await anyio.sleep(self._seconds / LOOKS)
            now = anyio.current_time()
            for reply, since in self._since.items():
                if not reply.quiet or reply.comment is not None:
                    # A caller who does not read what is being sent needs no more of it.
                    if reply.quiet is False:
                        reply.quiet = True
                    self._since[reply] = now
                elif now - since >= self._seconds:
                    self._since[reply] = now
                    tasks.start_soon(Comment(reply).send)
