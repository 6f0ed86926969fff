"""Parts of a message as Gemini takes them: text, bytes, and files where Google finds them.

In: a part in OpenAI's form. Out: a part of Gemini's. Nothing is fetched: the schemes that Google
fetches itself are `gs` and `https` (ai.google.dev/gemini-api/docs/file-input-methods).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from posixpath import splitext
from urllib.parse import unquote_to_bytes, urlsplit

from ...exceptions import InvalidRequestError
from ...wire.conversations import ImageURL, InputFile
from ...wire.conversations import Part as OpenAIPart
from ...wire.fields import Fields
from ...wire.gemini.contents import Blob, FileData, Part

# What the API reference lists, by the ending of a file's name.
_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".aiff": "audio/aiff",
    ".aac": "audio/aac",
    ".ogg": "audio/ogg",
    ".flac": "audio/flac",
    ".mp4": "video/mp4",
    ".mpeg": "video/mpeg",
    ".mov": "video/quicktime",
    ".avi": "video/x-msvideo",
    ".webm": "video/webm",
    ".wmv": "video/x-ms-wmv",
    ".3gp": "video/3gpp",
    ".pdf": "application/pdf",
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".html": "text/html",
    ".csv": "text/csv",
    ".json": "application/json",
}
_PDF = _TYPES[".pdf"]
_TAKES = "Gemini takes bytes (a data: URL), or a gs:// or https:// URI that Google can read"


def write_parts(parts: Sequence[OpenAIPart], where: str, fields: Fields) -> list[Part]:
    """All parts of a content, save texts that are empty: those are refused."""
    written = [write_part(part, f"{where}[{number}]", fields) for number, part in enumerate(parts)]
    return [part for part in written if part.text != ""]


def write_part(part: OpenAIPart, where: str, fields: Fields) -> Part:
    """One part. Raises `InvalidRequestError` with its path for what Gemini cannot take."""
    if part.cache_control is not None:
        fields.drop("messages[].content[].cache_control")
    if part.type == "text":
        return Part(text=part.text)
    if part.type == "refusal":
        return Part(text=part.refusal)
    if part.type in ("image_url", "video_url"):
        return _write_url(part, where, fields)
    if part.type == "input_audio" and part.input_audio is not None:
        audio = part.input_audio
        return Part(inline_data=Blob(f"audio/{audio.format}", audio.data))
    if part.type == "file" and part.file is not None:
        return _write_file(part.file, f"{where}.file", fields)
    raise _refusal(f"{where}.type", "Gemini has no part of this type")


def _write_url(part: OpenAIPart, where: str, fields: Fields) -> Part:
    where = f"{where}.{part.type}"
    image: ImageURL | None = getattr(part, part.type)
    if image is None:
        raise _refusal(where, "is missing")
    if image.detail not in (None, "auto"):
        fields.drop(f"messages[].content[].{part.type}.detail")
    return _write_data(image.url, f"{where}.url", "")


def _write_file(file: InputFile, where: str, fields: Fields) -> Part:
    """A file: at a URL, or its bytes. Its name is not told, but tells what it is, if nothing else
    does.
    """
    name = file.filename or ""
    member = "file_id" if file.file_data is None else "file_data"
    said = getattr(file, member)
    if said is None:
        raise _refusal(where, "has neither file_data nor file_id")
    if name and (said[:5].lower() == "data:" or _type_of(name) is None):
        fields.drop("messages[].content[].file.filename")
    if member == "file_data" and ":" not in said:
        said = f"data:{_type_of(name) or _PDF};base64,{said}"
    return _write_data(said, f"{where}.{member}", name)


def _write_data(url: str, where: str, name: str) -> Part:
    """What a URL holds, or where it points; a `name` tells the type where the URL does not."""
    scheme = url[:8].partition(":")[0].lower()
    if scheme == "data":
        head, comma, data = url[5:].partition(",")
        if not comma:
            raise _refusal(where, "The data: URL has no data")
        media, *parameters = head.split(";")
        if "base64" not in parameters:
            data = b64encode(unquote_to_bytes(data)).decode()
        return Part(inline_data=Blob(media or "text/plain", data))
    if scheme in ("gs", "https"):
        return Part(file_data=FileData(url, _type_of(name) or _type_of(urlsplit(url).path)))
    raise _refusal(where, _TAKES)


def _type_of(name: str) -> str | None:
    return _TYPES.get(splitext(name)[1].lower())


def _refusal(where: str, what: str) -> InvalidRequestError:
    return InvalidRequestError(f"{where}: {what}.", param=where)
