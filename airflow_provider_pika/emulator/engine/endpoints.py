"""The endpoints: Pika's app on fal, and the input of each of its paths."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_pika.emulator.engine.inputs import (
    Pikaframes,
    Pikascenes,
    Pikaswaps,
    V21ImageToVideo,
    V21TextToVideo,
    V22ImageToVideo,
    V22TextToVideo,
    V25ImageToVideo,
    V25TextToVideo,
    VideoInput,
)

#: The one app that is served. Request URLs name it without the endpoint's own path (fal-protocol.md N1).
APP = "fal-ai/pika"

#: The input of each endpoint that is served. Left out: those that are gone from fal's own types (v2/pikadditions,
#: v1.5/pikaffects), and v2.5 keyframes, whose path is not known (00.1).
ENDPOINTS: dict[str, type[VideoInput]] = {
    f"{APP}/v2.5/text-to-video": V25TextToVideo,
    f"{APP}/v2.5/image-to-video": V25ImageToVideo,
    f"{APP}/v2.2/text-to-video": V22TextToVideo,
    f"{APP}/v2.2/image-to-video": V22ImageToVideo,
    f"{APP}/v2.2/pikascenes": Pikascenes,
    f"{APP}/v2.2/pikaframes": Pikaframes,
    f"{APP}/v2.1/text-to-video": V21TextToVideo,
    f"{APP}/v2.1/image-to-video": V21ImageToVideo,
    f"{APP}/v2/turbo/text-to-video": V21TextToVideo,
    f"{APP}/v2/turbo/image-to-video": V21ImageToVideo,
    f"{APP}/v2/pikaswaps": Pikaswaps,
}


@dataclass(frozen=True)
class EndpointId:
    """An endpoint id in two parts (1.3): ``fal-ai/pika/v2.5/text-to-video`` is ``fal-ai/pika`` and a path in it."""

    app: str
    path: str

    @classmethod
    def parse(cls, value: str) -> EndpointId:
        """Take an endpoint id apart. It never fails: anything else is an app that nobody has."""
        parts = value.strip("/").split("/")
        size = 3 if parts[0] in {"workflows", "comfy"} else 2
        return cls("/".join(parts[:size]), "/".join(parts[size:]))

    @property
    def is_known_app(self) -> bool:
        """Tell whether the emulator has this app, whatever the path."""
        return self.app == APP

    @property
    def alias(self) -> str:
        """Return the app's name without its owner, as the 404 has it."""
        return self.app.rsplit("/", 1)[-1]
