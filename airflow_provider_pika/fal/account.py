"""Whose calls these are: where the queue is, who asks, and how long an answer may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .http_answer import Answer

#: fal's own queue, its stand-in, and the platform that has the request history of both (fal-protocol.md, 1.1).
QUEUE_URL = "https://queue.fal.run"
BACKUP_QUEUE_URL = "https://queue.falrun.com"
PLATFORM_URL = "https://api.fal.ai/v1"

#: Characters: what is shorter is nobody's secret, and may be part of a request's id.
SHORTEST_SECRET = 8


@dataclass(frozen=True)
class Account:
    """Where the queue is and who asks.

    :param authorization: the header's whole value, such as ``Key id:secret``; never part of a repr.
    :param queue_url: where the endpoints' ids are appended to.
    :param timeout: seconds that one call may take.
    """

    authorization: str = field(repr=False)
    queue_url: str = QUEUE_URL
    timeout: float = 60.0

    @property
    def platform_url(self) -> str:
        """Where the request history is: fal's platform for fal's queue, and for any other address that address itself.

        So the key of a gateway goes to the gateway only; the emulator has its history there, too.
        """
        return PLATFORM_URL if self.queue_url in (QUEUE_URL, BACKUP_QUEUE_URL) else f"{self.queue_url}/v1"

    @property
    def headers(self) -> dict[str, str]:
        """Give what every call carries."""
        return {"Authorization": self.authorization, "Accept": "application/json"}

    def answer(self, status_code: int, headers: Mapping[str, str], content: bytes) -> Answer:
        """Take in a response; a server that echoes what it was sent must not get the key into a message."""
        key = self.authorization.partition(" ")[2]
        text = content.decode("utf-8", "replace")
        for secret in (key, key.partition(":")[2]):
            if len(secret) >= SHORTEST_SECRET:
                text = text.replace(secret, "***")
        return Answer.read(status_code, headers, text)
