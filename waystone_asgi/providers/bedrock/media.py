"""Images, documents, videos and sound as Bedrock takes them: bytes, or an object in S3.

In: a URL, which is never fetched. Out: a block, or `InvalidRequestError` with the path of what
cannot be said.
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from ...exceptions import InvalidRequestError
from ...wire.bedrock import ContentBlock
from ...wire.conversations import InputAudio, InputFile

_IMAGES = ("png", "jpeg", "gif", "webp")
_DOCUMENTS = ("pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md")
_VIDEOS = ("mkv", "mov", "mp4", "webm", "flv", "mpeg", "mpg", "wmv", "three_gp")
_AUDIO = ("mp3", "opus", "wav", "aac", "flac", "ogg", "mka", "x-aac", "m4a", "mpga", "pcm")
_KINDS = (
    dict.fromkeys(_IMAGES, "image")
    | dict.fromkeys(_DOCUMENTS, "document")
    | dict.fromkeys(_VIDEOS, "video")
    | dict.fromkeys(_AUDIO, "audio")
)
_EXTENSIONS = {"jpg": "jpeg", "htm": "html", "3gp": "three_gp"}
_OFFICE = "application/vnd.openxmlformats-officedocument."
_TYPES = {
    "application/msword": "doc",
    "application/vnd.ms-excel": "xls",
    f"{_OFFICE}wordprocessingml.document": "docx",
    f"{_OFFICE}spreadsheetml.sheet": "xlsx",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/x-m4a": "m4a",
    "audio/x-wav": "wav",
    "image/jpg": "jpeg",
    "text/markdown": "md",
    "text/plain": "txt",
    "video/3gpp": "three_gp",
    "video/quicktime": "mov",
    "video/x-flv": "flv",
    "video/x-matroska": "mkv",
    "video/x-ms-wmv": "wmv",
}
_NOT_IN_NAMES = re.compile(r"[^0-9A-Za-z\s()\[\]-]+")
_SPACES = re.compile(r"\s+")
_LONGEST_NAME = 200


def media_block(url: str, where: str, *, name: str = "") -> ContentBlock:
    """What a URL holds (`data:`) or names (`s3://`), as the kind of block it is.

    `name` is that of a file, where there is one: its extension counts where the URL does not say
    what it holds.
    """
    source: dict[str, Any]
    scheme = url[:5].lower()
    if scheme == "data:":
        kind, data = _read_data(url, where)
        kind = _TYPES.get(kind) or kind.rpartition("/")[2]
        source = {"bytes": data}
    elif scheme == "s3://":
        kind, name = _extension(urlsplit(url).path), name or urlsplit(url).path.rpartition("/")[2]
        source = {"s3Location": {"uri": url}}
    else:
        raise _refused(where, "Bedrock fetches no URLs but s3://; send the bytes as a data: URL")
    kind = kind if kind in _KINDS else _extension(name)
    if kind not in _KINDS:
        raise _refused(where, "is of no format that Bedrock takes")
    block: dict[str, Any] = {"format": kind, "source": source}
    if _KINDS[kind] == "document":
        block["name"] = document_name(name)
    content: dict[str, Any] = {_KINDS[kind]: block}
    return ContentBlock(**content)


def file_block(file: InputFile | None, where: str) -> ContentBlock:
    """A file: its content, or the S3 URL under which it is stored."""
    if file is None or not (file.file_data or file.file_id):
        raise _refused(where, "needs file_data, or an s3:// URL as file_id")
    if not file.file_data:
        return media_block(file.file_id or "", f"{where}.file_id", name=file.filename or "")
    data = file.file_data
    url = data if data[:5].lower() == "data:" else f"data:;base64,{data}"
    return media_block(url, f"{where}.file_data", name=file.filename or "")


def audio_block(audio: InputAudio | None, where: str) -> ContentBlock:
    """Sound."""
    if audio is None:
        raise _refused(where, "is missing")
    return ContentBlock(audio={"format": audio.format, "source": {"bytes": audio.data}})


def document_name(name: str) -> str:
    """A name with no other characters than documents may have: letters, digits, hyphens, brackets,
    and single spaces.
    """
    stem = name.rpartition(".")[0] or name
    name = _SPACES.sub(" ", _NOT_IN_NAMES.sub("-", stem)).strip(" -")
    return name[:_LONGEST_NAME].rstrip() or "document"


def _read_data(url: str, where: str) -> tuple[str, str]:
    """The media type of a data URL, and its content in base64 (RFC 2397)."""
    head, comma, data = url.partition(",")
    kind, *parameters = head[5:].split(";")
    if not comma or not data:
        raise _refused(where, "is no data: URL with content")
    if parameters and parameters[-1].strip().lower() == "base64":
        return kind.strip().lower(), data
    return kind.strip().lower(), b64encode(unquote_to_bytes(data)).decode()


def _extension(name: str) -> str:
    extension = name.rpartition(".")[2].lower()
    return _EXTENSIONS.get(extension, extension)


def _refused(where: str, what: str) -> InvalidRequestError:
    return InvalidRequestError(f"{where}: {what}.", param=where)
