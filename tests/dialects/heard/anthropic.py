"""What Anthropic answers: plainly, and with one feature more."""

from __future__ import annotations

from collections.abc import Mapping

from ..features import (
    CALL,
    CITED,
    CITED_ELSE,
    CUT,
    HIDDEN,
    PLAIN,
    PROOF,
    READ,
    REASONING,
    REFUSED,
    SERVED,
    STOPPED,
    THOUGHT,
    TIER,
    WRITTEN,
    Change,
    change,
    plain,
)

_TEXT = {"type": "text", "text": "Hi"}
_CLAUDE_PAGE = {
    "type": "web_search_result_location",
    "url": "https://example.com",
    "title": "Example",
    "cited_text": "Hi",
    "encrypted_index": "e",
}
_CLAUDE_CHARS = {
    "type": "char_location",
    "document_index": 0,
    "document_title": "Example",
    "start_char_index": 0,
    "end_char_index": 2,
    "cited_text": "Hi",
}
_THINKING = {"type": "thinking", "thinking": "Hm.", "signature": ""}
_SEARCH = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}

ANSWERS: Mapping[str, Change] = {
    PLAIN: plain(
        {
            "id": "c",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [_TEXT],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 9, "output_tokens": 9},
        }
    ),
    REASONING: change("content", to=[_THINKING, _TEXT]),
    PROOF: change("content", 0, "signature", to="c2ln", onto=REASONING),
    HIDDEN: change("content", to=[{"type": "redacted_thinking", "data": "ZGF0YQ=="}, _TEXT]),
    CALL: Change(
        (
            (("content", 1), {"type": "tool_use", "id": "t", "name": "look", "input": {}}),
            (("stop_reason",), "tool_use"),
        )
    ),
    SERVED: change("content", to=[_SEARCH, _TEXT]),
    CITED: change("content", 0, "citations", to=[_CLAUDE_PAGE]),
    CITED_ELSE: change("content", 0, "citations", to=[_CLAUDE_CHARS]),
    REFUSED: Change(
        (
            (("stop_reason",), "refusal"),
            (("stop_details",), {"type": "refusal", "explanation": "No."}),
        )
    ),
    CUT: change("stop_reason", to="max_tokens"),
    STOPPED: Change(((("stop_reason",), "stop_sequence"), (("stop_sequence",), "END"))),
    READ: change("usage", "cache_read_input_tokens", to=5),
    WRITTEN: change("usage", "cache_creation_input_tokens", to=5),
    THOUGHT: change("usage", "output_tokens_details", to={"thinking_tokens": 5}),
    TIER: change("usage", "service_tier", to="priority"),
}
