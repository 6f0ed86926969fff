"""The ids of calls. Not every model of Gemini's gives them, and OpenAI's form cannot be without."""

from __future__ import annotations

from hashlib import blake2b

_MADE = "call_gemini_"


def make_id(response_id: str, choice: int, index: int, name: str) -> str:
    """An id for the call at this place of this answer: the same for whoever makes it."""
    place = f"{response_id}\n{choice}\n{index}\n{name}"
    return _MADE + blake2b(place.encode(), digest_size=12).hexdigest()


def given_id(id: str) -> str | None:
    """The id as Gemini gets it back: those that were made for it are none."""
    return None if not id or id.startswith(_MADE) else id
