"""What a host's answer to the download of a file means, pure: begin, go on, look elsewhere, give up."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_pika.exceptions import (
    DownloadInterrupted,
    DownloadRefused,
    PikaError,
    UnexpectedFile,
    VideoExpired,
    VideoTooLarge,
)

#: Tries in a row that bring nothing, and the seconds before each further one.
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0)

#: Of them, those for a file that is not there: it is deleted, most likely, but a new one may not be everywhere at once.
_NOT_THERE_TRIES = 3

#: A Content-Range; some servers, starlette among them, leave the unit out of a 416.
_RANGE = re.compile(r"(?:bytes )?(?:(\d{1,18})-\d{1,18}|\*)/(\d{1,18}|\*)")

#: A media type (RFC 6838); what is none, or is longer than any, names nothing.
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,62}/[a-z0-9][a-z0-9!#$&^_.+-]{0,62}")

#: A mark that can be sent back: printable, and not without end.
_VALIDATOR = re.compile(r"[ -~]{1,256}")

#: The seconds that a host may ask for; what asks for more is not a pause.
_LONGEST_PAUSE = 86_400.0

#: Types of pages, documents and pictures: what comes in place of a file, or of playlists, which hold no pictures.
#: Under any other type a host may serve a video: uploads without a type get the strangest, and the file is looked into.
_NO_VIDEO = re.compile(
    r"text/(?!plain$).+|(?:image|font|message|model)/.+|multipart/byteranges|[^/]+/(?:.+\+)?(?:json|xml|zip)"
    r"|application/(?:pdf|javascript|gzip|x-gzip|x-tar)|[^/]+/(?:vnd\.apple\.|x-)?mpegurl"
)

#: Codings of which the bytes are not the file's. Any other word changes nothing: "identity", "aws-chunked" (S3 keeps it
#: of an upload in chunks), "utf-8", "none" or nothing.
_COMPRESSED = {"gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd", "dcb", "dcz", "bzip2", "xz", "lzma"}


@dataclass(frozen=True)
class Part:
    """What there is of a file.

    :param have: bytes, from the start.
    :param total: bytes of the whole, None if the host has not said.
    :param validator: the host's mark of this version of the file (a strong ETag, or its date), if it gave one.
    :param content_type: as the host named it.
    """

    have: int = 0
    total: int | None = None
    validator: str | None = None
    content_type: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing, as far as the host has said."""
        return self.total is not None and self.have == self.total

    def headers(self) -> dict[str, str]:
        """Ask for the rest of the same version; as it is, since a range counts the bytes that are sent."""
        headers = {"Accept-Encoding": "identity", "Accept": "video/*, application/octet-stream;q=0.5"}
        if self.have:
            headers["Range"] = f"bytes={self.have}-"
            if self.validator:
                headers["If-Range"] = self.validator
        return headers


@dataclass(frozen=True)
class Elsewhere:
    """A redirect: the ``location`` as it was sent."""

    location: str


def meaning(status: int, headers: Mapping[str, str], part: Part) -> Part | Elsewhere:
    """Return what there will be once the body is added, with ``have`` where the body begins.

    :param headers: with names in lower case.
    :raises VideoExpired, DownloadRefused: there is no file to be had.
    :raises DownloadInterrupted: there may be one later.
    """
    if status in (301, 302, 303, 307, 308) and headers.get("location"):
        return Elsewhere(headers["location"])
    if status == 416 and part.have:
        return _nothing_to_add(headers, part)
    if status not in (200, 206):
        raise _no_file(status, headers)
    content_type = _checked_type(headers)
    if status == 206:
        begin, total = _range(headers)
        if begin != part.have or (part.total is not None and total not in (None, part.total)):
            raise DownloadInterrupted(f"The host gave another range than was asked for: {_range_words(headers)}.")
        if part.validator and _validator(headers) not in (part.validator, None):
            raise DownloadInterrupted("The file has changed at its host in the meantime.")
        return Part(part.have, total or part.total, part.validator, content_type)
    length = headers.get("content-length", "")
    return Part(0, int(length) if length.isdecimal() and len(length) < 19 else None, _validator(headers), content_type)


def pause_after(error: PikaError, tries: int) -> float | None:
    """Return the seconds until the next try; None: no more of them.

    :param tries: how many in a row have brought nothing, this one included.
    """
    if isinstance(error, VideoExpired):
        return PAUSES[tries - 1] if tries < _NOT_THERE_TRIES else None
    if isinstance(error, DownloadInterrupted) and not isinstance(error, UnexpectedFile) and tries <= len(PAUSES):
        return max(PAUSES[tries - 1], error.retry_after or 0.0)
    return None


def check_size(size: int | None, most: int) -> None:
    """Refuse a file that is larger than a clip may be.

    :raises VideoTooLarge: it is.
    """
    if size is not None and size > most:
        raise VideoTooLarge(f"The file has {size} bytes or more; max_bytes allows {most}.")


def check_length(part: Part, announced: int | None) -> None:
    """Refuse a file that is not as long as was said: by fal in the result, or by the host.

    :param announced: the result's ``file_size``, in bytes.
    :raises UnexpectedFile: it is not.
    """
    said = announced if announced is not None else part.total
    if part.have == 0 or (said is not None and part.have != said):
        who = "fal announced" if announced is not None else "the host announced"
        raise UnexpectedFile(f"The file has {part.have} bytes; {who} {said}.")


def _nothing_to_add(headers: Mapping[str, str], part: Part) -> Part:
    _, total = _range(headers)
    if total == part.have:  # what the host said before was more than there is
        return Part(part.have, part.have, part.validator, part.content_type)
    raise DownloadInterrupted(f"The host has no more of the file: {_range_words(headers)}.")


def _no_file(status: int, headers: Mapping[str, str]) -> PikaError:
    if status in (404, 410):
        return VideoExpired(f"The host has no such file (HTTP {status}).", status_code=status)
    if status in (408, 425, 429) or status >= 500:
        return DownloadInterrupted(
            f"The host could not give the file (HTTP {status}).",
            status_code=status,
            retry_after=_retry_after(headers),
        )
    return DownloadRefused(f"The host does not give the file (HTTP {status}).", status_code=status)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    named = headers.get("retry-after", "")
    return min(float(named), _LONGEST_PAUSE) if named.isdecimal() and len(named) < 19 else None


def _checked_type(headers: Mapping[str, str]) -> str | None:
    named = headers.get("content-type", "").partition(";")[0].strip().lower()
    if not _TYPE.fullmatch(named):
        named = ""
    if _NO_VIDEO.fullmatch(named):
        raise UnexpectedFile(f"The host sends {named}, not a video.")
    if _COMPRESSED.intersection(re.split(r"[,;\s]+", headers.get("content-encoding", "").lower())):
        raise UnexpectedFile("The host sends the file compressed, though it was asked not to.")
    return named or None


def _validator(headers: Mapping[str, str]) -> str | None:
    etag = headers.get("etag", "")
    # a weak ETag is none for ranges (RFC 9110)
    mark = etag if etag.startswith('"') else headers.get("last-modified", "")
    return mark if _VALIDATOR.fullmatch(mark) else None


def _range(headers: Mapping[str, str]) -> tuple[int | None, int | None]:
    found = _RANGE.fullmatch(headers.get("content-range", "").strip())
    begin, total = found.groups() if found else (None, None)
    return (int(begin) if begin else None), (int(total) if total and total != "*" else None)


def _range_words(headers: Mapping[str, str]) -> str:
    named = headers.get("content-range")
    return "no Content-Range" if named is None else repr(named[:100])
