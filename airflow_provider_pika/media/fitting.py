"""Whether a clip is the one that was asked for, as far as that is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from airflow_provider_pika.media.mp4 import Clip

#: What the picture's short side is, by the request's ``resolution``; and its area, if it has 16 by 9 pixels.
_SHORT_SIDE = {"480p": 480, "720p": 720, "1080p": 1080}

#: How far a clip may be off. What Pika makes of "5 s" and "720p" to the frame and the pixel is not established, and a
#: clip that is refused was paid for: so this is to find the wrong file, not to measure the right one.
_TOLERANCE = 0.2


def misfit(clip: Clip, asked: Mapping[str, Any]) -> str | None:
    """Give in what a clip is not what was asked for; None if it fits.

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
