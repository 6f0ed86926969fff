"""The parts of a message as blocks: text, images and files. Nothing is fetched.

In: parts, and the path at which they stand. Out: blocks, or `InvalidRequestError` with the path of
what no block can say.
"""

from __future__ import annotations

from binascii import Error as NoBase64
from binascii import a2b_base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NoReturn

from ...exceptions import InvalidRequestError
from ...wire.anthropic import Block, DocumentBlock, ImageBlock, Source, TextBlock
from ...wire.conversations import InputFile, Message, Part
from ...wire.fields import Fields

_DATA = "data:"
_PDF = "application/pdf"
_SPELLINGS = {"image/jpg": "image/jpeg"}
_FETCHES_NOTHING = "the provider fetches nothing; send the bytes as a data: URL"
# What a file is whose content does not tell it.
_ENDINGS = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
}


def refuse(where: str, what: str) -> NoReturn:
    """Raises `InvalidRequestError` for what cannot be sent to this provider."""
    raise InvalidRequestError(f"{where}: {what}.", param=where)


def write_parts(parts: Sequence[Part], path: str, fields: Fields) -> Iterator[Block]:
    """The blocks of a message's parts."""
    for index, part in enumerate(parts):
        where = f"{path}[{index}]"
        if part.type == "text":
            yield TextBlock(part.text, part.cache_control)
        elif part.type == "refusal":
            yield TextBlock(part.refusal, part.cache_control)
        elif (write := _WRITERS.get(part.type)) is not None:
            yield write(part, where, fields)
        else:
            refuse(f"{where}.type", "no part of this kind can be sent to the provider")


def _write_image(part: Part, where: str, fields: Fields) -> Block:
    image = part.image_url
    if image is None:
        refuse(f"{where}.image_url", "is missing")
    if image.detail not in (None, "auto"):
        fields.drop("messages[].content[].image_url.detail")
    path = f"{where}.image_url.url"
    source = _at(image.url)
    if source is None:
        media_type, data = _split(image.url, path)
        source = Source("base64", media_type, data)
        if media_type == _PDF:
            return DocumentBlock(source, cache_control=part.cache_control)
    return ImageBlock(source, part.cache_control)


def _write_file(part: Part, where: str, fields: Fields) -> Block:
    file = part.file
    if file is None:
        refuse(f"{where}.file", "is missing")
    media_type, source = _read_file(file, f"{where}.file")
    if media_type.startswith("image/"):
        return ImageBlock(source, part.cache_control)
    return DocumentBlock(source, file.filename, part.citations, part.cache_control)


def _read_file(file: InputFile, where: str) -> tuple[str, Source]:
    """What kind of file it is, and where."""
    _, _, ending = (file.filename or "").rpartition(".")
    media_type = _ENDINGS.get(ending.lower(), _PDF)
    if file.file_id is not None:
        return media_type, Source("file", file_id=file.file_id)
    if file.file_data is None:
        refuse(where, "expected file_data or file_id")
    path = f"{where}.file_data"
    if (source := _at(file.file_data)) is not None:
        return media_type, source
    data = file.file_data
    if data[:5].lower() == _DATA:
        media_type, data = _split(data, path)
    if not media_type.startswith("text/"):
        return media_type, Source("base64", media_type, data)
    try:
        text = a2b_base64(data, strict_mode=True).decode()
    except (NoBase64, ValueError):
        refuse(path, "expected text in UTF-8, in base64")
    return media_type, Source("text", "text/plain", text)


def _at(url: str) -> Source | None:
    return Source("url", url=url) if url.startswith(("https://", "http://")) else None


def _split(url: str, where: str) -> tuple[str, str]:
    """The media type and the base64 of a `data:` URL (RFC 2397)."""
    head, _, data = url.partition(",")
    media_type, *parameters = head[len(_DATA) :].lower().replace(" ", "").split(";")
    if head[: len(_DATA)].lower() != _DATA or "base64" not in parameters or not media_type:
        refuse(where, "expected an http(s) URL, or a data URL in base64 with its media type")
    return _SPELLINGS.get(media_type, media_type), data


def refuse_references(messages: Sequence[Message]) -> None:
    """Raises `InvalidRequestError` for what is not sent itself, where the provider needs that."""
    for index, message in enumerate(messages):
        for position, part in enumerate(message.parts):
            where = f"messages[{index}].content[{position}]"
            if part.image_url is not None and _at(part.image_url.url):
                refuse(f"{where}.image_url.url", _FETCHES_NOTHING)
            if part.file is not None and part.file.file_id is not None:
                refuse(f"{where}.file.file_id", _FETCHES_NOTHING)
            if part.file is not None and _at(part.file.file_data or ""):
                refuse(f"{where}.file.file_data", _FETCHES_NOTHING)


_WRITERS: Mapping[str, Callable[[Part, str, Fields], Block]] = {
    "image_url": _write_image,
    "file": _write_file,
}
