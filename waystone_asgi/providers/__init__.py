"""The dialects that providers speak, one a file, and what is known of each provider as data.

A dialect is pure: it has no await, no client and no clock.
"""

from __future__ import annotations

from .forms import Preset
from .presets import PRESETS
from .provider import Provider
from .tables import provider_of, read_provider

__all__ = ("PRESETS", "Preset", "Provider", "provider_of", "read_provider")
