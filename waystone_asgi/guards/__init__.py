"""Calls the host's guards on answers: whole ones, and streams, which it holds back in windows.

In: an answer of OpenAI's form. Out: the answer as the guards let it through, or the error that ends
it. A guard that fails lets nothing through.
"""

from __future__ import annotations

from .check import Check, Guards
from .screen import AnswerScreen

__all__ = ("AnswerScreen", "Check", "Guards")
