"""Says what is wrong in a document: what was expected, and the path where.

In: bytes, or what msgspec raised. Out: what they hold, or `InvalidRequestError`. A message never
repeats what the body said.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from ..exceptions import InvalidRequestError
from .chat import DOCUMENT
from .members import MALFORMED, Members, decode_members, has_duplicates

# Greedy: what stands before the last path may be the body's own words.
_PATH = re.compile(r"(.*) - at `\$\.?(.*)`$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `([^`]*)`")
_ECHO = re.compile(r"Invalid value .*", re.DOTALL)
_ONLY_BESIDE_CALLS = "`content` may be null only"
_ROLES = "developer, system, user, assistant, function, tool"


def decode_document(body: bytes) -> object:
    """The whole document, looked at to its last value. Raises `InvalidRequestError`."""
    if not body:
        raise InvalidRequestError("The request has no body; send a JSON object.")
    try:
        return DOCUMENT.decode(body)
    except RecursionError:
        raise InvalidRequestError("The body is nested too deeply.") from None
    except UnicodeDecodeError:
        raise InvalidRequestError("The body is not valid UTF-8.") from None
    except msgspec.MsgspecError as error:
        raise InvalidRequestError(f"The body is not JSON: {_describe(error)[0]}.") from None


def decode_members_once(document: bytes, where: str | None = None) -> Members:
    """The members of an object in which each key stands once. Raises `InvalidRequestError`."""
    try:
        members = decode_members(document)
    except MALFORMED as error:
        raise InvalidRequestError(
            f"Expected a JSON object: {_describe(error)[0]}.", param=where
        ) from None
    if has_duplicates(document, members):
        raise InvalidRequestError("The object has a key more than once.", param=where)
    return members


def invalid(error: Exception, document: object = None, prefix: str = "") -> InvalidRequestError:
    """The answer to a failed conversion: what was expected, and the path where."""
    text, path = _describe(error)
    if path == "metadata" and _has_wrong_waystone(document):
        path = "metadata.waystone"
    if path.endswith(".role") and "nvalid value" in text:
        text = f"Expected one of {_ROLES}"
    path = ".".join(filter(None, (prefix, path)))
    return InvalidRequestError(f"{path}: {text}." if path else f"{text}.", param=path or None)


def _describe(error: Exception) -> tuple[str, str]:
    """What msgspec found and where, without the value it found."""
    if not isinstance(error, msgspec.MsgspecError):
        return "it is nested too deeply or not valid UTF-8", ""
    text, path = str(error), ""
    if match := _PATH.match(text):
        text, path = match[1], match[2]
    if missing := _MISSING.fullmatch(text):
        return "Required", f"{path}.{missing[1]}" if path else missing[1]
    if text.startswith("Object contains unknown field"):
        return "Unknown field", path
    if text.startswith(_ONLY_BESIDE_CALLS):
        path += ".content"
    # A member of a mapping has no name here: it would be the caller's own word.
    return _ECHO.sub("Invalid value", text), path.partition("[...]")[0]


def _has_wrong_waystone(document: Any) -> bool:
    metadata = document["metadata"]
    return isinstance(metadata, dict) and not isinstance(metadata.get("waystone", ""), str)
