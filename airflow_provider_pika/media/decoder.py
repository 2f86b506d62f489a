"""Decode a video's first picture, in a process of its own, and write what it shows to stdout as JSON; then its poster.

Run as a script, with PyAV and nothing else of this package. A file may crash FFmpeg, or make it take all the memory and
the time that there is. So this process gives up what it could do harm with before it opens the file: its limits
hold for whatever the file makes of it. ``decoding.py`` starts it, and ``verify.py`` believes it nothing.

For many files, it loads PyAV once and forks: each fork gives up the same, and opens one file after the other. What a
file breaks in its fork is no other file's trouble: ``decoding.py`` has a new fork open what an old one could not.
"""

from __future__ import annotations

import base64
import io
import json
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any

#: Printed once all is ready for the file: a process that ends before could not be started, whatever the file is.
READY = "ready"

#: Decoders that a clip may need, by FFmpeg's names. The format's own name is not enough: an MP4's cover picture is a
#: stream of video, too, and FFmpeg would decode it only to see how large it is.
DECODERS = "h264,hevc,av1,libdav1d,vp8,vp9,libvpx,libvpx-vp9,mpeg4,prores,mpeg1video,mpeg2video"

#: Files that a fork opens, and seconds of CPU after which it opens no more: it keeps most of its limits for the next.
_MOST_FILES, _ENOUGH_CPU = 50, 1.0

#: Packets of the stream that may bring no picture yet.
MOST_PACKETS = 200

#: Pixels of a poster's long side.
POSTER_SIDE = 640

#: Bytes of a poster.
POSTER_BYTES = 100_000

#: Where a key picture is looked for, as shares of the clip.
_KEY_PLACES = (0.5, 0.25, 0.75, 0.1, 0.9)

#: Where any picture is looked for, in a clip with one key picture.
_PLACES = (0.25, 0.5, 0.75, 0.9)

#: Seconds of CPU after which no further picture is decoded for the poster.
_POSTER_CPU = 5.0

#: What a clip is taken to last that does not say it.
_USUAL_SECONDS = 5.0

#: A picture's mean brightness, and how far its parts are from it, from which on it is no black one and no empty one.
_BRIGHT, _BUSY = 48.0, 20.0

#: Bytes of a message.
_MOST_MESSAGE = 4096

#: The score of a dull picture, which does where the next one shows no more: the clip does not come out of black.
_DULL = 0.3

#: MJPEG's scales of quality, from good to the worst there is.
_QUALITIES = (3, 5, 8, 12, 18, 31)


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
    :param seconds: of CPU.
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


def opened(av: Any, file: Any, containers: str, pixels: int) -> Any:
    """Open the file.

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
    return av.open(file, "r", options=options, metadata_errors="replace")


def video_of(container: Any, pixels: int) -> Any:
    """Return the stream of pictures."""
    stream = next(filter(_is_decodable, container.streams.video), None)
    if stream is None:
        raise ValueError("it holds no video stream of a known format")
    stream.codec_context.options = {"max_pixels": str(pixels), "threads": "1"}
    stream.thread_type, stream.codec_context.thread_count = "NONE", 1
    return stream


def shown_by(av: Any, container: Any, stream: Any, picture: Any) -> dict[str, Any]:
    """Return the first picture's width and height, the file's seconds, and its frames a second (None: not known)."""
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


def first_picture(container: Any, stream: Any) -> Any:
    for number, packet in enumerate(container.demux(stream)):
        for picture in packet.decode():
            return picture
        if number > MOST_PACKETS:
            break
    raise ValueError("it holds no picture")


def representative(container: Any, stream: Any, first: Any, seconds: float) -> Any:
    """Return a picture that shows something: the first that is bright and busy enough, or else the best that was seen.

    :param first: the clip's first picture, which is the worst choice: many clips begin in black.
    """
    best, best_score, before = first, 0.5 * score(first), 0.0
    with suppress(Exception):  # of a file that breaks later, what came before is good enough
        for picture in _samples(container, stream, seconds):
            found = score(picture)
            if found > best_score:
                best, best_score = picture, found
            if found >= 1.0 or _DULL <= found <= 1.1 * before:
                break
            before = found
    return best


def score(picture: Any) -> float:
    """Return how much a picture shows: 1 and above is bright and busy, 0 is black or of one colour."""
    small = picture.reformat(width=32, height=32, format="gray", interpolation="AREA")
    plane = small.planes[0]
    content = bytes(plane)
    values = [value for row in range(32) for value in content[row * plane.line_size :][:32]]
    mean = sum(values) / len(values)
    spread = (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5
    return float(min(mean / _BRIGHT, 1.0) * spread / _BUSY)


def _samples(container: Any, stream: Any, seconds: float) -> Iterator[Any]:
    """Go through some pictures: key pictures, which cost least; then any, as long as there is time."""
    until = time.process_time() + _POSTER_CPU
    begin = stream.start_time or 0
    ticks = float(seconds / stream.time_base)
    seen = {begin}
    for share in _KEY_PLACES:
        if time.process_time() > until:
            return
        picture = _key_picture(container, stream, begin + int(share * ticks))
        if picture is not None and _at(picture) not in seen:
            seen.add(_at(picture))
            yield picture
    yield from _pictures(container, stream, [begin + share * ticks for share in _PLACES], until)


def _key_picture(container: Any, stream: Any, at: int) -> Any:
    """Return the last key picture up to there."""
    container.seek(at, stream=stream)
    for number, packet in enumerate(container.demux(stream)):
        if packet.is_keyframe:
            context = stream.codec_context
            return next(iter([*context.decode(packet), *context.decode(None)]), None)
        if number > MOST_PACKETS:
            break
    return None


def _pictures(container: Any, stream: Any, places: list[float], until: float) -> Iterator[Any]:
    """Decode from the beginning on, without pictures that no other is made of, and give those at the places."""
    container.seek(0)  # of the stream's own first time, a transport stream is sought behind it
    stream.codec_context.skip_frame = "NONREF"
    last = None
    for packet in container.demux(stream):
        for last in packet.decode():
            if _at(last) >= places[0]:
                yield last
                places = [place for place in places if place > _at(last)]
            if not places or time.process_time() > until:
                return
    if last is not None:
        yield last  # the clip is shorter than it says


def _at(picture: Any) -> int:
    return next((at for at in (picture.pts, picture.dts) if at is not None), 0)


def poster_of(av: Any, picture: Any, ratio: float) -> bytes:
    """Return the picture as a JPEG, no larger than it is, in as good a quality as its bytes allow.

    :param ratio: how much wider than high a pixel is shown.
    """
    wide, high = (picture.width, picture.height / ratio) if ratio > 1 else (picture.width * ratio, picture.height)
    for side in (POSTER_SIDE, POSTER_SIDE // 2):
        scale = min(1.0, side / max(wide, high))
        small = _for_jpeg(picture, max(1, round(wide * scale)), max(1, round(high * scale)))
        for quality in _QUALITIES:
            if len(content := _encoded(av, small, quality)) <= POSTER_BYTES:
                return content
    raise ValueError("no quality is low enough")


def _for_jpeg(picture: Any, width: int, height: int) -> Any:
    """Return the picture in a JPEG's size and colours, which are those of standard definition."""
    is_hd = int(picture.colorspace) == 1 or (int(picture.colorspace) == 2 and picture.height >= 720)
    return picture.reformat(
        width=width,
        height=height,
        format="yuvj420p",
        src_colorspace="ITU709" if is_hd else "ITU601",
        dst_colorspace="ITU601",
        interpolation="AREA",
    )


def _encoded(av: Any, picture: Any, quality: int) -> bytes:
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt = picture.width, picture.height, "yuvj420p"
    context.time_base, context.thread_count = Fraction(1, 25), 1
    context.qmin = context.qmax = quality
    context.options = {"flags": "+bitexact"}  # it would sign it with its version
    picture.pts, picture.time_base = 0, context.time_base
    return b"".join(bytes(packet) for packet in [*context.encode(picture), *context.encode(None)])


def _poster_line(av: Any, container: Any, stream: Any, first: Any, seconds: float) -> dict[str, str]:
    try:
        if not seconds and stream.average_rate:
            seconds = stream.frames / float(stream.average_rate)
        picture = representative(container, stream, first, seconds or _USUAL_SECONDS)
        ratio = float(stream.sample_aspect_ratio or 1)
        content = poster_of(av, picture, ratio if 0.1 < ratio < 10 else 1.0)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:300]}
    return {"poster": base64.b64encode(content).decode()}


def lines_about(av: Any, told: dict[str, Any], descriptor: int) -> Iterator[bytes]:
    """Yield a line of JSON about the file, and one more with the poster if that is wanted."""
    signal.alarm(told["patience"])  # if the parent dies, nobody else ends it
    container = None
    try:
        container = opened(av, _File(descriptor, told["size"]), told["containers"], told["pixels"])
        stream = video_of(container, told["pixels"])
        picture = first_picture(container, stream)
        said = shown_by(av, container, stream, picture)
    except Exception as error:  # a hostile or broken file may bring anything out of it
        said = {"error": f"{type(error).__name__}: {error}"[:300]}
    yield json.dumps(said).encode() + b"\n"
    if told["poster"] and "error" not in said:
        yield json.dumps(_poster_line(av, container, stream, picture, said["seconds"])).encode() + b"\n"
    if container is not None:
        container.close()
    signal.alarm(0)


def look_into(av: Any, told: dict[str, Any]) -> None:
    """Write READY, then the lines about one file; and end this process."""
    give_up(told["memory"], told["seconds"])
    print(READY, flush=True)
    for line in lines_about(av, told, told["descriptor"]):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
    os._exit(0)  # what FFmpeg still holds is the system's to take


def look_into_many(av: Any, told: dict[str, Any], channel: socket.socket) -> None:
    """Write READY to the channel, then the lines about each file that comes over it, one after the other."""
    give_up(told["memory"], told["seconds"])
    channel.sendall(f"{READY}\n".encode())
    for _ in range(_MOST_FILES):
        message, descriptors, *_ = socket.recv_fds(channel, _MOST_MESSAGE, 1)
        if not message:
            return
        for line in lines_about(av, json.loads(message), descriptors[0]):
            channel.sendall(line)
        os.close(descriptors[0])
        if time.process_time() > _ENOUGH_CPU:
            return


def _reap(*_: object) -> None:
    """Take forks away that have ended, so that their CPU counts as ours."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def serve(av: Any, channel: socket.socket) -> None:
    """Fork whenever a message comes over the channel, until that is closed.

    A message is what the fork is told, as JSON, with the channel that its files come over. Each is answered with a byte
    once the fork is there, so that no two messages are read as one.
    """
    signal.signal(signal.SIGCHLD, _reap)
    while True:
        message, descriptors, *_ = socket.recv_fds(channel, _MOST_MESSAGE, 1)
        if not message:
            break
        if os.fork() == 0:
            channel.close()
            try:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                look_into_many(av, json.loads(message), socket.socket(fileno=descriptors[0]))
            finally:
                os._exit(1)
        os.close(descriptors[0])
        channel.send(b".")
    with suppress(ChildProcessError):
        while True:  # until the last fork has ended, or this process is killed with it
            os.waitpid(-1, 0)


def main() -> None:
    """Read one JSON object from the command line: what to do with one file, or the channel that files come over."""
    told = json.loads(sys.argv[1])
    import av

    if "channel" in told:
        serve(av, socket.socket(fileno=told["channel"]))
    else:
        look_into(av, told)


if __name__ == "__main__":
    main()
