"""Public model names, and where each of them leads.

In: providers with their models, and aliases. Out: a `Route` for a name, or the refusal.
"""

from __future__ import annotations

from .aliases import Alias, read_alias
from .names import Catalog

__all__ = ("Alias", "Catalog", "read_alias")
