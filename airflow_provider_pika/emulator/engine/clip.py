"""How a clip is drawn: H.264 in MP4, playable from its first bytes, with the prompt on it.

The picture depends on prompt and seed alone. It uses no clock, no chance and one encoder thread, so the same pair gives
the same frames on every run.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from PIL import Image, ImageDraw, ImageFont

#: Pictures in a second of every clip.
FRAMES_PER_SECOND = 24

#: After so many frames, the camera is where it began, and the clip repeats them: most of a clip's cost is to encode it.
ROUND = 2 * FRAMES_PER_SECOND

#: Called after each frame with (frames done, frames in all). If it raises, the rendering ends.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Clip:
    """What to draw: size in pixels (even numbers), length in frames."""

    prompt: str
    seed: int | None
    width: int
    height: int
    frames: int


@dataclass(frozen=True)
class _Layer:
    """One plane (Y, U or V) of background and caption. The two colour planes have half the size."""

    background: Image.Image
    caption: Image.Image
    opacity: Image.Image
    scale: int

    def cut(self, left: int, top: int, width: int, height: int, caption_top: int) -> bytes:
        """Return the rows of this plane for one frame. The corner is in pixels of the frame."""
        x, y = left // self.scale, top // self.scale
        picture = self.background.crop((x, y, x + width, y + height))
        picture.paste(self.caption, (0, caption_top // self.scale), self.opacity)
        return picture.tobytes()


#: Characters of a prompt that are drawn at most. They fill half a picture; measuring a longer text takes seconds.
LEGIBLE = 2000


def render(clip: Clip, path: Path, progress: Progress = lambda done, total: None) -> None:
    """Write the clip to ``path``. Five seconds of 720p take some 0.4 s of CPU, so call it in a thread."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
        stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, "yuv420p"
        # Each frame is encoded at once, and none depends on a later one: a round can end, and begin again, anywhere.
        stream.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "26", "threads": "1", "g": str(ROUND)}
        pictures, encoded = _pictures(clip), list[bytes]()
        for number in range(clip.frames):
            if number < ROUND:
                encoded += [bytes(packet) for packet in stream.encode(next(pictures))]
            packet = av.Packet(encoded[number % ROUND])
            packet.stream, packet.time_base = stream, Fraction(1, FRAMES_PER_SECOND)
            packet.pts = packet.dts = number
            packet.duration, packet.is_keyframe = 1, number % ROUND == 0
            container.mux(packet)
            progress(number + 1, clip.frames)


def _pictures(clip: Clip) -> Iterator[av.VideoFrame]:
    """Yield the frames of one round."""
    background, caption = _background(clip), _caption(clip)
    layers = _layers(background, caption)
    caption_top = (clip.height - caption.height - clip.height // 18) & ~1
    phase, frames = _chance(clip).random(), min(ROUND, clip.frames)
    for number in range(frames):
        left, top = _camera(clip, background, phase + number / frames)
        frame = av.VideoFrame(clip.width, clip.height, "yuv420p")
        for plane, layer in zip(frame.planes, layers, strict=True):
            # A plane's rows may be longer than the picture is wide. Cut that wide, a plane is copied at once.
            plane.update(layer.cut(left, top, plane.line_size, plane.height, caption_top))
        yield frame


def _layers(background: Image.Image, caption: Image.Image) -> list[_Layer]:
    """Split both pictures into planes once, so that a frame costs three crops and no colour conversion."""
    opacity = caption.getchannel("A")
    layers = []
    for index, scale in enumerate((1, 2, 2)):
        low, high = (16, 235) if index == 0 else (16, 240)  # the range of video, where Pillow's planes use 0 to 255
        squeeze = [low + value * (high - low) // 255 for value in range(256)]
        planes = [
            picture.convert("RGB").convert("YCbCr").getchannel(index).reduce(scale).point(squeeze)
            for picture in (background, caption)
        ]
        layers.append(_Layer(planes[0], planes[1], opacity.reduce(scale), scale))
    return layers


def _chance(clip: Clip) -> random.Random:
    """Return a generator that draws the same numbers for the same prompt and seed."""
    digest = hashlib.sha256(f"{clip.seed}\n{clip.prompt}".encode()).digest()
    return random.Random(digest)  # noqa: S311  (a picture, not a secret)


def _background(clip: Clip) -> Image.Image:
    """Return a picture a quarter larger than the frame, over which the camera pans."""
    chance = _chance(clip)
    width, height = clip.width * 5 // 4 & ~1, clip.height * 5 // 4 & ~1
    mesh = Image.new("RGB", (6, 4))
    mesh.putdata([(chance.randrange(20, 236), chance.randrange(20, 236), chance.randrange(20, 236)) for _ in range(24)])
    picture = mesh.resize((width, height), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture, "RGBA")
    for _ in range(14):
        x, y, radius = (
            chance.randrange(width),
            chance.randrange(height),
            chance.randrange(height // 16, height // 4),
        )
        colour = (chance.randrange(256), chance.randrange(256), chance.randrange(256), 110)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return picture


def _camera(clip: Clip, background: Image.Image, turn: float) -> tuple[int, int]:
    """Return the frame's corner, in even pixels. One turn goes round the background once."""
    x = (background.width - clip.width) * (1 + math.sin(2 * math.pi * turn)) / 2
    y = (background.height - clip.height) * (1 + math.cos(2 * math.pi * turn)) / 2
    return int(x) & ~1, int(y) & ~1


def _caption(clip: Clip) -> Image.Image:
    """Return the prompt in white on a dark band as wide as the frame, at most half as high."""
    margin = clip.width // 20
    for divisor in (14, 18, 24, 30):
        font = ImageFont.load_default(size=max(clip.height // divisor, 10))
        lines = _wrap(clip.prompt[:LEGIBLE], font, clip.width - 2 * margin)
        line_height = round(font.getbbox("Ag")[3] * 1.3)
        room = clip.height // 2 // line_height - 1
        if len(lines) <= room:
            break
    if len(lines) > room:
        lines = [*lines[: room - 1], lines[room - 1] + " …"]
    band = Image.new("RGBA", (clip.width, line_height * (len(lines) + 1) & ~1), (8, 8, 12, 190))
    draw = ImageDraw.Draw(band)
    for index, line in enumerate(lines):
        draw.text((margin, line_height // 2 + index * line_height), line, font=font, fill=(255, 255, 255, 255))
    return band


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """Break the text into lines no wider than ``width`` pixels. A word is broken only if it is wider than a line."""
    lines = [""]
    for word in text.split():
        if font.getlength(f"{lines[-1]} {word}".strip()) <= width:
            lines[-1] = f"{lines[-1]} {word}".strip()
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines
