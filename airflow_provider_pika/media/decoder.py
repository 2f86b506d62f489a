"""Decode a video's first picture, in a process of its own, and write what it shows to stdout as JSON.

Run as a script, with PyAV and nothing else of this package. A file may crash FFmpeg, or make it take all the memory and
the time that there is. So this process gives up what it could do harm with before it opens the file: its limits
hold for whatever the file makes of it. ``verify.py`` starts it, and believes it nothing.
"""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import Any

#: Printed once all is ready for the file: a process that ends before could not be started, whatever the file is.
READY = "ready"

#: Decoders that a clip may need, by FFmpeg's names. The format's own name is not enough: an MP4's cover picture is a
#: stream of video, too, and FFmpeg would decode it only to see how large it is.
DECODERS = "h264,hevc,av1,libdav1d,vp8,vp9,libvpx,libvpx-vp9,mpeg4,prores,mpeg1video,mpeg2video"

#: Packets of the stream that may bring no picture yet.
MOST_PACKETS = 200


class _File(io.RawIOBase):
    """The file behind a descriptor, read with a place of our own: the parent's would move with the descriptor's."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence] + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(self._size - self._at, 0)
        data = os.pread(self._descriptor, left if size < 0 else min(size, left), self._at)
        self._at += len(data)
        return data


def give_up(memory: int, seconds: int) -> None:
    """Limit this process for good.

    :param memory: bytes of its address space.
    :param seconds: of CPU; four times as many by the clock.
    """
    limits = (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, memory),
    )
    for kind, limit in limits:
        hard = resource.getrlimit(kind)[1]
        most = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        with suppress(ValueError, OSError):  # macOS knows no RLIMIT_AS
            resource.setrlimit(kind, (most, most))
    signal.alarm(4 * seconds)  # if the parent dies, nobody else ends it


def shown_by(av: Any, file: Any, containers: str, pixels: int) -> dict[str, Any]:
    """Return the first picture's width and height, the file's seconds, and its frames a second (None: not known).

    :param containers: what FFmpeg may take the file for, by its own names. Of all that it opens, some are texts that
        name other files, or make it wait on the network.
    """
    options = {
        "format_whitelist": containers,
        "codec_whitelist": DECODERS,
        "protocol_whitelist": "",
        "max_pixels": str(pixels),
        "threads": "1",
    }
    with av.open(file, "r", options=options, metadata_errors="replace") as container:
        stream = next(filter(_is_decodable, container.streams.video), None)
        if stream is None:
            raise ValueError("it holds no video stream of a known format")
        stream.codec_context.options = {"max_pixels": str(pixels), "threads": "1"}
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        picture = _first_picture(container, stream)
        if stream.duration is not None and stream.time_base is not None:
            seconds = float(stream.duration * stream.time_base)
        else:
            seconds = (container.duration or 0) / av.time_base
        rate = stream.average_rate
        return {
            "width": picture.width,
            "height": picture.height,
            "seconds": seconds,
            "frame_rate": float(rate) if rate else None,
        }


def _is_decodable(stream: Any) -> bool:
    return stream.codec_context is not None and stream.codec_context.codec.name in DECODERS.split(",")


def _first_picture(container: Any, stream: Any) -> Any:
    for number, packet in enumerate(container.demux(stream)):
        for picture in packet.decode():
            return picture
        if number > MOST_PACKETS:
            break
    raise ValueError("it holds no picture")


def main() -> None:
    """Read one JSON object from the command line; write READY, then a line of JSON."""
    told = json.loads(sys.argv[1])
    import av

    give_up(told["memory"], told["seconds"])
    print(READY, flush=True)
    try:
        said = shown_by(av, _File(told["descriptor"], told["size"]), told["containers"], told["pixels"])
    except Exception as error:  # a hostile or broken file may bring anything out of it
        said = {"error": f"{type(error).__name__}: {error}"[:300]}
    print(json.dumps(said), flush=True)
    os._exit(0)  # what FFmpeg still holds is the system's to take


if __name__ == "__main__":
    main()
