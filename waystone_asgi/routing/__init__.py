"""Which targets a request goes to, in what order, how often, and what became of each attempt.

`Routing` is the gateway's own and knows how the targets are doing; `Attempts` are those of one
request; a `Try` is one of them.
"""

from __future__ import annotations

from .attempt import MAX_ANSWER_BYTES, Try, fault_of, passed_on, read_all
from .attempts import Attempts, Routing
from .backoff import Budget, retry_after
from .health import Health

__all__ = (
    "MAX_ANSWER_BYTES",
    "Attempts",
    "Budget",
    "Health",
    "Routing",
    "Try",
    "fault_of",
    "passed_on",
    "read_all",
    "retry_after",
)
