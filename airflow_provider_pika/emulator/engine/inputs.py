"""What each of Pika's endpoints takes, and the clip that it asks for (fal-protocol.md, 00.1 and 9).

Images and videos are not fetched, since whoever submits can name any address. An address that cannot be fetched is
refused.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from airflow_provider_pika.emulator.engine.clip import FRAMES_PER_SECOND, Clip
from airflow_provider_pika.emulator.faults.catalogue import strip_directives

#: Seconds that pikaframes is charged for at least, as two third parties say (00.1).
SHORTEST_FRAMES_BILLED = 5

#: Seconds of all transitions together.
LONGEST_FRAMES = 25


def _number(value: Any) -> Any:
    """Read a duration. 2025's schemas had ``"5"`` and 2026's have ``5``; both are taken (9)."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _fetchable(url: str) -> str:
    """Refuse what cannot be fetched. fal fetches when the request runs; its error type here is not established."""
    if not url.lower().startswith(("https://", "http://", "data:")):
        raise PydanticCustomError("file_download_error", "Failed to download the file.")
    return url


AspectRatio = Literal["16:9", "9:16", "1:1", "4:5", "5:4", "3:2", "2:3"]
Resolution = Literal["720p", "1080p"]
FixedDuration = Annotated[Literal[5, 10], BeforeValidator(_number)]
#: v2.1 and v2 turbo have no enum. Their bounds are not established; the emulator draws up to 30 s.
FreeDuration = Annotated[int, Field(ge=1, le=30)]
TransitionDuration = Annotated[int, Field(ge=1, le=LONGEST_FRAMES)]
Url = Annotated[str, AfterValidator(_fetchable)]

#: The negative prompt of those endpoints that have one by default.
UGLY = "ugly, bad, terrible"


class VideoInput(BaseModel):
    """The input that all endpoints share. Unknown fields are ignored, as pydantic does by default."""

    prompt: str | None = None
    negative_prompt: str | None = None
    seed: int | None = None

    #: Units of a clip in 1080p, for one unit of the same clip in 720p.
    units_of_1080p: ClassVar[Decimal] = Decimal(1)

    @property
    def seconds(self) -> int:
        """Return the length of the clip: five seconds for an endpoint that does not ask."""
        duration: int = getattr(self, "duration", 5)
        return duration

    @property
    def billed_seconds(self) -> int:
        """Return the seconds that are charged for where the price is for a second."""
        return self.seconds

    def billable_units(self, unit: str) -> Decimal:
        """Return what ``X-Fal-Billable-Units`` says, in the unit of the endpoint's price: clips, or seconds.

        An endpoint has one price of a unit, but fal's pages ask more for 1080p. So 1080p counts as more units. That
        is not established, as are the units of v2.5, which has no known price.
        """
        units = Decimal(self.billed_seconds if unit.endswith("seconds") else 1)
        return units * self.units_of_1080p if getattr(self, "resolution", "") == "1080p" else units

    def clip(self) -> Clip:
        """Return the clip to draw. Its short side has the resolution's number of lines, and both sides are even.

        An endpoint without an aspect ratio gets 16:9. Where fal takes the shape of an image, that shape is not known
        here.
        """
        lines = int(getattr(self, "resolution", "720p").removesuffix("p"))
        across, down = map(int, getattr(self, "aspect_ratio", "16:9").split(":"))
        long = -(-lines * max(across, down) // min(across, down))
        long += long % 2
        width, height = (long, lines) if across >= down else (lines, long)
        return Clip(strip_directives(self.prompt or ""), self.seed, width, height, self.seconds * FRAMES_PER_SECOND)


class V25TextToVideo(VideoInput):
    """``v2.5/text-to-video``, as its own page says. It has no aspect ratio, and ignores one that is sent."""

    prompt: str
    negative_prompt: str = UGLY
    resolution: Literal["480p", "720p", "1080p"] = "720p"
    duration: FixedDuration = 5


class V25ImageToVideo(V25TextToVideo):
    """``v2.5/image-to-video``."""

    image_url: Url


class V22TextToVideo(VideoInput):
    """``v2.2/text-to-video``: 0.20 USD a video in 720p, and 0.45 in 1080p."""

    units_of_1080p: ClassVar[Decimal] = Decimal("2.25")

    prompt: str
    negative_prompt: str = UGLY
    resolution: Resolution = "720p"
    duration: FixedDuration = 5
    aspect_ratio: AspectRatio = "16:9"


class V22ImageToVideo(VideoInput):
    """``v2.2/image-to-video``."""

    units_of_1080p: ClassVar[Decimal] = Decimal("2.25")

    image_url: Url
    prompt: str
    negative_prompt: str = ""
    resolution: Resolution = "720p"
    duration: FixedDuration = 5


class Pikascenes(V22TextToVideo):
    """``v2.2/pikascenes``, the only one with 1080p by default. How many images it takes is not established."""

    image_urls: Annotated[list[Url], Field(min_length=1)]
    resolution: Resolution = "1080p"
    ingredients_mode: Literal["precise", "creative"] = "precise"


class Transition(BaseModel):
    """The transition between two images of pikaframes. ``duration`` is in seconds."""

    duration: TransitionDuration = 5
    prompt: str | None = None


class Pikaframes(VideoInput):
    """``v2.2/pikaframes``: two to five images, as long as the transitions between them. It has no ``duration``.

    A second costs 0.04 USD in 720p, and 0.06 in 1080p.
    """

    units_of_1080p: ClassVar[Decimal] = Decimal("1.5")

    image_urls: Annotated[list[Url], Field(min_length=2, max_length=5)]
    transitions: list[Transition] | None = None
    resolution: Resolution = "720p"

    @model_validator(mode="after")
    def _fit_the_images(self) -> Self:
        if self.transitions is not None and len(self.transitions) != len(self.image_urls) - 1:
            raise ValueError(f"{len(self.image_urls)} images take {len(self.image_urls) - 1} transitions")
        if self.seconds > LONGEST_FRAMES:
            raise ValueError(f"all transitions together may take {LONGEST_FRAMES} seconds")
        return self

    @property
    def seconds(self) -> int:
        """Return the length of all transitions together."""
        transitions = self.transitions or [Transition()] * (len(self.image_urls) - 1)
        return sum(transition.duration for transition in transitions)

    @property
    def billed_seconds(self) -> int:
        """Return its seconds, but never less than five."""
        return max(self.seconds, SHORTEST_FRAMES_BILLED)


class V21TextToVideo(VideoInput):
    """``v2.1/text-to-video`` and ``v2/turbo/text-to-video``: 0.40 and 0.20 USD a video, whatever its length."""

    prompt: str
    negative_prompt: str = ""
    resolution: Resolution = "720p"
    duration: FreeDuration = 5
    aspect_ratio: AspectRatio = "16:9"


class V21ImageToVideo(VideoInput):
    """``v2.1/image-to-video`` and ``v2/turbo/image-to-video``."""

    image_url: Url
    prompt: str
    negative_prompt: str = ""
    resolution: Resolution = "720p"
    duration: FreeDuration = 5


class Pikaswaps(VideoInput):
    """``v2/pikaswaps``. fal's clip is as long as its source; here it is five seconds, since nothing is fetched."""

    video_url: Url
    image_url: Url | None = None
    modify_region: str | None = None
