"""How likely each token was, in OpenAI's form."""

from __future__ import annotations

from itertools import chain, repeat
from typing import Any

from ...wire.gemini.answers import LogprobCandidate, LogprobsResult, TopCandidates

_NONE = TopCandidates()


def write_logprobs(result: LogprobsResult | None) -> dict[str, Any] | None:
    """The tokens of an answer, each with those that were likeliest in its place."""
    if result is None:
        return None
    tops = chain(result.top_candidates, repeat(_NONE))
    return {
        "content": [
            {**_write(token), "top_logprobs": [_write(other) for other in top.candidates]}
            for token, top in zip(result.chosen_candidates, tops, strict=False)
        ],
        "refusal": None,
    }


def _write(token: LogprobCandidate) -> dict[str, Any]:
    return {
        "token": token.token,
        "logprob": token.log_probability,
        "bytes": list(token.token.encode()),
    }
