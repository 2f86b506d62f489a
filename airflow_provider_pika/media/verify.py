"""Open a file as a player would, and say what it shows: with PyAV where it is installed, by its MP4 boxes else."""

from __future__ import annotations

import base64
import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import IO, Any

from airflow_provider_pika.exceptions import DownloadInterrupted, VideoRejected
from airflow_provider_pika.media import decoder, decoding, jpeg, mp4
from airflow_provider_pika.media.decoding import Forks, Unstartable
from airflow_provider_pika.media.mp4 import MOST_PIXELS, MOST_SECONDS, MOST_SIDE, Clip

#: What FFmpeg may take a file for that our own reader has looked at, by FFmpeg's names.
_MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
#: Containers that our own reader knows nothing of.
_OTHERS = "matroska,webm,avi,mpegts"

#: Bytes of address space that the decoder may take. The first picture of 8K took 0.3 GB and 10 s at most: noise in
#: H.264 with 16 reference frames, 19 MB a picture (FFmpeg 8). Half of the address space was enough.
_MEMORY = 1 << 30
#: Seconds of CPU that it may take; four times as many by the clock.
_CPU = 20

#: Frames a second that are told; a file of one picture may have any number.
_MOST_RATE = 1000.0

_log = logging.getLogger(__name__)


def probe(
    file: IO[bytes],
    size: int,
    tell: Callable[[str], object] = _log.warning,
    *,
    with_poster: bool = False,
    forks: Forks | None = None,
) -> Clip:
    """Return what a file shows, once it is known to be whole, and a video.

    The boxes of an MP4 are always read first: FFmpeg opens one that is cut off, and believes what it claims. With PyAV,
    its first picture is decoded, in a process of its own, and containers other than MP4 can be told.

    :param file: of this machine's disk, or anything that can be read.
    :param size: bytes.
    :param tell: takes a line for the task's log.
    :param with_poster: make a poster, too, which takes PyAV; where none can be made, the log says why.
    :param forks: makes the decoder's process, where many files are opened; None: one is started.
    :raises VideoRejected: it is none, or claims more than a clip has.
    :raises DownloadInterrupted: only a decoder could tell, and none can be started.
    """
    with_pyav = forks.has_pyav if forks else decoding.has_pyav()
    told = tell if with_poster else None
    if mp4.is_mp4(file):
        track = mp4.read(file, size)
        if not with_pyav:
            return mp4.clip_of(track)
        try:
            clip = _decoded(file, size, _MP4, told, forks)
        except Unstartable as error:
            tell(f"The clip's first picture was not decoded, because no process can be started ({error}).")
            return _by_its_header(track, error)
        return clip if clip.seconds else replace(clip, seconds=track.seconds)  # FFmpeg does not add the samples up
    if not with_pyav:
        file.seek(0)
        raise VideoRejected(
            f"The file is no MP4: it begins with {file.read(16)!r}. Whether it is another kind of video, PyAV can tell "
            "(pip install av)."
        )
    try:
        return _decoded(file, size, _OTHERS, told, forks)
    except Unstartable as error:
        raise _unknown(error) from None


def _by_its_header(track: mp4.Track, error: Unstartable) -> Clip:
    try:
        return mp4.clip_of(track)
    except VideoRejected:
        raise _unknown(error) from None


def _unknown(error: Unstartable) -> DownloadInterrupted:
    return DownloadInterrupted(f"Whether the file is a video is not known: no process can be started ({error}).")


def _decoded(
    file: IO[bytes], size: int, containers: str, tell: Callable[[str], object] | None, forks: Forks | None
) -> Clip:
    """Return what the decoder says.

    :param tell: takes a line about a poster that could not be made; None: none is asked for.
    """
    with decoding.descriptor_of(file) as descriptor:
        told = {
            "size": size,
            "containers": containers,
            "pixels": MOST_PIXELS * 9 // 8,  # a decoder counts whole blocks
            "memory": _MEMORY,
            "seconds": _CPU,
            "patience": 4 * _CPU,
            "poster": tell is not None,
        }
        said, poster = decoding.said_of(told, descriptor, forks)
    if not said:
        raise VideoRejected(
            "The file cannot be opened as a video: its decoder crashed, or took too much time or memory."
        )
    try:
        answer = json.loads(said)
        if reason := answer.get("error"):
            raise VideoRejected(f"The file cannot be opened as a video: {_cleaned(reason)}.")
        clip = _checked(answer)
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError):
        raise VideoRejected("The file cannot be opened as a video: it breaks its decoder.") from None
    return clip if tell is None else replace(clip, poster=_poster(poster, tell))


def _poster(said: bytes, tell: Callable[[str], object]) -> bytes | None:
    """Return the poster, if it is one: what comes out of the decoder may be the file's own work."""
    reason = "its decoder crashed, or took too much time or memory"
    try:
        answer = json.loads(said) if said else {}
        if "error" in answer:
            reason = _cleaned(answer["error"])
        elif answer:
            reason = "what came is no small JPEG"
            content = base64.b64decode(answer["poster"], validate=True)
            if _is_poster(content):
                return content
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        reason = "its decoder broke"
    tell(f"No poster was made: {reason}.")
    return None


def _is_poster(content: bytes) -> bool:
    size = jpeg.size_of(content) if len(content) <= decoder.POSTER_BYTES else None
    return size is not None and min(size) >= 1 and max(size) <= decoder.POSTER_SIDE


def _checked(answer: dict[str, Any]) -> Clip:
    """Return what the decoder says, if it may be true: the numbers go into metadata and XComs."""
    width, height, seconds = (_number(answer[name]) for name in ("width", "height", "seconds"))
    if not (1 <= width <= MOST_SIDE and 1 <= height <= MOST_SIDE and width * height <= MOST_PIXELS):
        raise VideoRejected(f"Its picture has {width:g} by {height:g} pixels, more than 8K, or none.")
    if not 0 <= seconds <= MOST_SECONDS:
        raise VideoRejected(f"It claims to be {seconds:g} s long; a clip has {MOST_SECONDS:.0f} s at most.")
    rate = _number(answer["frame_rate"] or 0)
    return Clip(int(width), int(height), seconds, rate if 0 < rate <= _MOST_RATE else None)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("it is no number")
    return float(value)


def _cleaned(text: Any) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in str(text)[:300]).rstrip(".")


#: What the picture's short side is, by the request's ``resolution``; and its area, if it has 16 by 9 pixels.
_SHORT_SIDE = {"480p": 480, "720p": 720, "1080p": 1080}

#: How far a clip may be off. What Pika makes of "5 s" and "720p" to the frame and the pixel is not established, and a
#: clip that is refused was paid for: so this is to find the wrong file, not to measure the right one.
_TOLERANCE = 0.2


def misfit(clip: Clip, asked: Mapping[str, Any]) -> str | None:
    """Return how a clip differs from what was asked for; None if it fits.

    :param asked: the request's input, as far as it is known: ``duration`` (seconds), ``resolution``.
    """
    try:
        wanted = float(asked.get("duration") or math.nan)
    except (TypeError, ValueError, OverflowError):
        wanted = math.nan  # another model's word for it
    if abs(clip.seconds - wanted) > _TOLERANCE * wanted:
        return f"It is {clip.seconds:.2f} s long; the request asked for {wanted:g} s."
    side = _SHORT_SIDE.get(str(asked.get("resolution")))
    if side is not None and not _is_about(min(clip.width, clip.height), side):
        across = math.sqrt(clip.width * clip.height * 9 / 16)  # some models keep the area, whatever the aspect
        if not _is_about(across, side):
            return f"It has {clip.width} by {clip.height} pixels; the request asked for {asked['resolution']}."
    return None


def _is_about(value: float, wanted: float) -> bool:
    return abs(value - wanted) <= _TOLERANCE * wanted
