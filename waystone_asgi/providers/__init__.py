"""The dialects that providers speak, one a file, and what is known of each provider as data.

A dialect is pure: it has no await, no client and no clock.
"""

from __future__ import annotations

from .presets import PRESETS, Preset
from .provider import Provider
from .tables import read_provider

__all__ = ("PRESETS", "Preset", "Provider", "read_provider")
