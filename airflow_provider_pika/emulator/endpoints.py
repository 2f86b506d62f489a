"""The endpoints: Pika's text-to-video models, their inputs, and the clip that each input asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from airflow_provider_pika.emulator.faults import strip_directives
from airflow_provider_pika.emulator.render import FRAMES_PER_SECOND, Clip

APP = "fal-ai/pika"
"""The one app that is served; status and result paths name it without the endpoint's own path (fal-protocol.md 1.3)."""


def _number(value: Any) -> Any:
    """Durations came as ``"5"`` in 2025's schemas and as ``5`` in 2026's; both are taken (9)."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


AspectRatio = Literal["16:9", "9:16", "1:1", "4:5", "5:4", "3:2", "2:3"]
FixedDuration = Annotated[Literal[5, 10], BeforeValidator(_number)]
FreeDuration = Annotated[int, Field(ge=1, le=30)]
"""v2.1 and v2 turbo have no enum. Their bounds are not established; 30 s is where we stop drawing."""


class TextToVideoInput(BaseModel):
    """What all the text-to-video endpoints share. Unknown fields are ignored, as pydantic does by default."""

    prompt: str
    negative_prompt: str
    seed: int | None = None
    resolution: str
    duration: int
    aspect_ratio: AspectRatio = "16:9"

    def clip(self) -> Clip:
        """The clip to draw: the short side is the resolution's number of lines, both sides are even."""
        lines = int(self.resolution.removesuffix("p"))
        across, down = map(int, self.aspect_ratio.split(":"))
        long = -(-lines * max(across, down) // min(across, down))
        long += long % 2
        width, height = (long, lines) if across >= down else (lines, long)
        frames = self.duration * FRAMES_PER_SECOND
        return Clip(strip_directives(self.prompt), self.seed, width, height, frames)


class V25Input(TextToVideoInput):
    """``v2.5/text-to-video``, as its own page says. It has no aspect ratio: one that is sent changes nothing."""

    negative_prompt: str = "ugly, bad, terrible"
    resolution: Literal["480p", "720p", "1080p"] = "720p"
    duration: FixedDuration = 5
    aspect_ratio: Annotated[AspectRatio, BeforeValidator(lambda _: "16:9")] = "16:9"


class V22Input(TextToVideoInput):
    """``v2.2/text-to-video`` (9)."""

    negative_prompt: str = "ugly, bad, terrible"
    resolution: Literal["720p", "1080p"] = "720p"
    duration: FixedDuration = 5


class V21Input(TextToVideoInput):
    """``v2.1/text-to-video`` and ``v2/turbo/text-to-video`` (9)."""

    negative_prompt: str = ""
    resolution: Literal["720p", "1080p"] = "720p"
    duration: FreeDuration = 5


ENDPOINTS: dict[str, type[TextToVideoInput]] = {
    f"{APP}/v2.5/text-to-video": V25Input,
    f"{APP}/v2.2/text-to-video": V22Input,
    f"{APP}/v2.1/text-to-video": V21Input,
    f"{APP}/v2/turbo/text-to-video": V21Input,
}


@dataclass(frozen=True)
class EndpointId:
    """An endpoint id taken apart (1.3): ``fal-ai/pika/v2.5/text-to-video`` is ``fal-ai/pika`` and a path in it."""

    app: str
    path: str

    @classmethod
    def parse(cls, value: str) -> EndpointId:
        """Never fails: what is not an endpoint id is an app that nobody has."""
        parts = value.strip("/").split("/")
        size = 3 if parts[0] in {"workflows", "comfy"} else 2
        return cls("/".join(parts[:size]), "/".join(parts[size:]))

    @property
    def is_known_app(self) -> bool:
        """Whether the emulator has this app, whatever the path."""
        return self.app == APP

    @property
    def alias(self) -> str:
        """The app's name without its owner, as the 404 gives it."""
        return self.app.rsplit("/", 1)[-1]
