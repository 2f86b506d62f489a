"""Open a file as a player would, and say what it shows: with PyAV where it is installed, by its MP4 boxes else."""

from __future__ import annotations

import importlib.util
from typing import IO

from airflow_provider_pika.exceptions import VideoRejected

from . import mp4
from .mp4 import Clip

#: What FFmpeg may take a file for, by its own names.
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts"


def probe(file: IO[bytes], size: int) -> Clip:
    """Give what a file shows, once it is known to be whole, and a video.

    The boxes of an MP4 are always looked at, since FFmpeg opens one that is cut off. With PyAV, its first picture is
    decoded, and containers other than MP4 can be told.

    :param size: bytes.
    :raises VideoRejected: it is none.
    """
    with_pyav = importlib.util.find_spec("av") is not None
    if mp4.is_mp4(file):
        mp4.check_whole(file, size)
        return _by_pyav(file) if with_pyav else mp4.read(file, size)
    if not with_pyav:
        file.seek(0)
        raise VideoRejected(
            f"The file is no MP4: it begins with {file.read(16)!r}. Whether it is another kind of video, PyAV can tell "
            "(pip install av)."
        )
    return _by_pyav(file)


def _by_pyav(file: IO[bytes]) -> Clip:
    import av

    file.seek(0)
    try:
        # of all that FFmpeg opens, some are texts that name other files, or make it wait on the network
        with av.open(file, "r", options={"format_whitelist": _CONTAINERS}, metadata_errors="replace") as container:
            if not container.streams.video:
                raise VideoRejected("The file holds no video stream.")
            stream = container.streams.video[0]
            picture = next(container.decode(stream), None)
            if picture is None:
                raise VideoRejected("The file holds no picture.")
            if stream.duration is not None and stream.time_base is not None:
                seconds = float(stream.duration * stream.time_base)
            else:
                seconds = (container.duration or 0) / av.time_base
            rate = stream.average_rate
            return Clip(picture.width, picture.height, seconds, float(rate) if rate else None)
    except VideoRejected:
        raise
    except Exception as error:  # a hostile or broken file may bring anything out of it
        raise VideoRejected(f"The file cannot be opened as a video: {error}.") from None
