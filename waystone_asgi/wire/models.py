"""The model objects of OpenAI's API reference, and the answer of `POST /identify`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from ..records import Identity
from .members import encode


class Model(Struct):
    """One model. `created` is unknown to the gateway and always 0."""

    id: str
    owned_by: str
    object: Literal["model"] = "model"
    created: int = 0


class ModelList(Struct):
    """Every model that the caller may use."""

    data: list[Model]
    object: Literal["list"] = "list"


class Identified(Struct):
    """Who was created or updated."""

    user: str | None
    group: str | None


def encode_model(name: str, provider: str) -> bytes:
    """One model object."""
    return encode(Model(id=name, owned_by=provider))


def encode_models(models: Iterable[tuple[str, str]]) -> bytes:
    """The list of models, from names and their providers."""
    return encode(ModelList(data=[Model(id=name, owned_by=owner) for name, owner in models]))


def encode_identified(identity: Identity) -> bytes:
    """The answer of `POST /identify`."""
    user, group = identity.user, identity.group
    return encode(Identified(user=user.id if user else None, group=group.id if group else None))
