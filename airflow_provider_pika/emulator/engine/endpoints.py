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

APP = "fal-ai/pika"
"""The one app that is served; request URLs name it without the endpoint's own path (fal-protocol.md N1)."""

# Not here: those that are gone from fal's own types (v2/pikadditions, v1.5/pikaffects), and v2.5 keyframes, of which
# no path is known (00.1).
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
