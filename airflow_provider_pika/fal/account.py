"""Whose calls these are: where the queue is, who asks, and how long an answer may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import urlsplit

from airflow_provider_pika.fal.http_answer import STATUS_BYTES, Answer
from airflow_provider_pika.fal.redaction import Redactor, redactor_of

#: fal's own queue (fal-protocol.md, 1.1).
QUEUE_URL = "https://queue.fal.run"
#: Its stand-in.
BACKUP_QUEUE_URL = "https://queue.falrun.com"
#: The platform, which has the request history of both queues.
PLATFORM_URL = "https://api.fal.ai/v1"


@dataclass(frozen=True)
class Account:
    """Where the queue is and who asks.

    :param authorization: the header's whole value, such as ``Key id:secret``; never part of a repr.
    :param queue_url: where the endpoints' ids are appended to.
    :param timeout: seconds that one call may take.
    :param tags: whether a submit says which Dag, task and run it comes from.
    """

    authorization: str = field(repr=False)
    queue_url: str = QUEUE_URL
    timeout: float = 60.0
    tags: bool = True

    @property
    def platform_url(self) -> str:
        """Where the request history is: fal's platform for fal's queue, and for any other address that address itself.

        So the key of a gateway goes to the gateway only; the emulator has its history there, too.
        """
        return PLATFORM_URL if self.queue_url in (QUEUE_URL, BACKUP_QUEUE_URL) else f"{self.queue_url}/v1"

    @property
    def origins(self) -> list[str]:
        """Return where the calls go, as ``scheme://host[:port]``: the queue's and the platform's."""
        parts = (urlsplit(url) for url in (self.queue_url, self.platform_url))
        return list(dict.fromkeys(f"{part.scheme}://{part.netloc}" for part in parts))

    @property
    def headers(self) -> dict[str, str]:
        """Return what every call carries. What comes is not to be compressed: a small answer could be a huge one."""
        return {"Authorization": self.authorization, "Accept": "application/json", "Accept-Encoding": "identity"}

    @property
    def key(self) -> str:
        """Return the key alone."""
        return self.authorization.partition(" ")[2]

    @property
    def secrets(self) -> list[str]:
        """Return what no log may show: the key, and its secret half."""
        return [secret for secret in dict.fromkeys((self.key, self.key.partition(":")[2])) if secret]

    @cached_property
    def redactor(self) -> Redactor:
        """Return what keeps the key out of a server's words."""
        return redactor_of(self.key)

    def answer(self, status_code: int, headers: Mapping[str, str], content: bytes, most: int = STATUS_BYTES) -> Answer:
        """Take in a response: the one door for what a server says, behind which the key is not in it any more.

        :param content: as it was sent, and no more of it than :func:`~.http_answer.most_bytes`.
        """
        return Answer.read(status_code, headers, content, most, self.redactor)
