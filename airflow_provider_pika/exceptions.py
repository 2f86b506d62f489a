"""The provider's exceptions, as one small tree. Each class says whether a retry can help.

None of them is an Airflow exception: ``fal/`` raises them, and ``fal/`` knows no Airflow. ``task/errors.py`` decides
what Airflow does with each. fal's error model is in fal-protocol.md, section 4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from airflow_provider_pika.strict_json import one_line

#: Characters of a message, and of a name in it: they go into logs, events and XComs.
LONGEST_MESSAGE, LONGEST_NAME = 10_000, 300

#: The consequence of a refused value.
NOT_SENT = "Nothing was sent to fal."


class PikaError(Exception):
    """The base of all errors of this provider.

    ``str()`` returns the message, the request ID, type and status, the consequence, and the advice. Each text becomes
    one line of bounded length without control characters, because it goes into logs and databases. Every error can be
    pickled.

    :param message: what happened, in fal's own words if fal said any.
    :param consequence: whether fal accepted the request, and whether it may still run.
    :param request_id: the request ID. None: there is no request, or its ID is unknown.
    :param error_type: fal's machine-readable type, such as ``content_policy_violation``. None: fal gave none.
    :param status_code: the HTTP status of fal's answer. None: there was no answer.
    :param retry_after: seconds that fal asked to wait before the next try. None: fal did not ask.
    """

    #: Whether the same call may succeed later, with nothing changed.
    retry_helps: ClassVar[bool] = False
    #: What to do, and whether a retry pays again.
    advice: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        consequence: str | None = None,
        request_id: str | None = None,
        error_type: str | None = None,
        status_code: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.message = one_line(message, LONGEST_MESSAGE)
        super().__init__(self.message)
        self.consequence = consequence and one_line(consequence, LONGEST_MESSAGE)
        self.request_id = request_id and one_line(str(request_id), LONGEST_NAME)
        self.error_type = error_type and one_line(str(error_type), LONGEST_NAME)
        self.status_code = status_code
        self.retry_after = retry_after if retry_after is not None and math.isfinite(retry_after) else None

    def __str__(self) -> str:
        units = getattr(self, "billable_units", None)
        billed = None if units is None else format(units, "g")
        known = {
            "request id": self.request_id,
            "type": self.error_type,
            "HTTP": self.status_code,
            "billed units": billed,
        }
        facts = ", ".join(f"{name} {value}" for name, value in known.items() if value is not None)
        parts = (self.message, f"({facts})" if facts else "", self.consequence, self.advice)
        return " ".join(part for part in parts if part)

    def __reduce__(self) -> tuple[Any, ...]:
        return PikaError.from_json, (self.as_json(),)

    def as_json(self) -> dict[str, Any]:
        """Return the error as a JSON object, for a trigger's event."""
        return {"error": type(self).__name__, **vars(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PikaError:
        """Return the error that :meth:`as_json` described.

        :raises KeyError: this tree has no such class.
        """
        known = {error.__name__: error for error in tree(PikaError)}
        fields = dict(value)
        return known[fields.pop("error")](**fields)


def tree(root: type[PikaError]) -> list[type[PikaError]]:
    """Return a class and all below it."""
    return [root, *(error for child in root.__subclasses__() for error in tree(child))]


class InvalidInput(PikaError, ValueError):
    """A value is not allowed. It was found before anything was sent.

    :param consequence: as in any error. None: nothing was sent to fal. A task that sends nothing says something else.
    """

    advice = "Correct the value. A retry fails the same way until then."

    def __init__(self, message: str, *, consequence: str | None = None, **known: Any) -> None:
        super().__init__(message, consequence=NOT_SENT if consequence is None else consequence, **known)


class MissingKey(PikaError):
    """There is no fal key: not in the connection, not in the environment, no saved login."""

    advice = (
        "Nothing was sent to fal. Put the key in the connection's password, or set FAL_KEY (or FAL_KEY_ID and "
        "FAL_KEY_SECRET) for every Airflow process that runs tasks or triggers."
    )


class UnusableProxy(PikaError):
    """The environment names a proxy that this provider cannot use. It was found before anything was sent."""

    advice = (
        "Nothing was sent to fal. Set the variable to http://host:port or https://host:port for every Airflow process "
        "that runs tasks or triggers. SOCKS is not supported. To go around the proxy, name fal's hosts in NO_PROXY."
    )


class InvalidKey(PikaError):
    """fal refused the key (401)."""

    advice = "Correct the key in the connection, then clear the task."


class AccessDenied(PikaError):
    """The key is valid, but it may not do this (403)."""

    advice = "Allow it in your fal account, then clear the task. A retry fails the same way until then."


class ExhaustedBalance(AccessDenied):
    """fal locked the account because its balance is used up (403). fal refuses every submit."""

    advice = "Top up the balance at fal, then clear the task."


class UnknownEndpoint(PikaError):
    """fal has no such endpoint (404 at submit)."""

    advice = "Nothing was submitted. Compare the endpoint's spelling with its page at fal."


class UnknownRequest(PikaError):
    """fal does not know this request ID, or does not know it any more (404)."""

    advice = (
        "The ID may be mistyped, or belong to another account or app. Or its result has expired: fal keeps results for "
        "about an hour. Another poll does not help. For a new clip, clear the task that submitted it, which pays again."
    )


class RequestRejected(PikaError):
    """fal, or the server at its address, refused a call. A repeat gets the same answer."""

    advice = "Check the queue URL in the connection. A retry gets the same answer until then."


class UnknownStatus(PikaError):
    """fal reported a request status that this version does not know. It never counts as success."""

    advice = "The request may still run, and fal may charge for it. Look at it in your fal account."


class TryLater(PikaError):
    """A temporary failure. Airflow retries the task."""

    retry_helps = True


class MissingConnection(TryLater):
    """Airflow did not return the default connection, and the environment has no key either.

    Airflow does not tell a missing connection from one that it cannot read just now. So the task is retried. A
    connection without a key is not retried.
    """

    advice = MissingKey.advice


class UnusableCertificates(TryLater):
    """SSL_CERT_FILE or SSL_CERT_DIR holds no certificates. It was found before anything was sent."""

    advice = (
        "Nothing was sent to fal. Set SSL_CERT_FILE to a PEM file, or SSL_CERT_DIR to a folder that c_rehash "
        "prepared, for every Airflow process that runs tasks or triggers."
    )


class RateLimited(TryLater):
    """fal asks for fewer calls (429). ``retry_after`` is the wait that fal named, in seconds."""


class ServerUnavailable(TryLater):
    """fal, or a gateway in front of it, could not answer (408 or 5xx)."""


class Unreachable(TryLater):
    """There was no answer: the host cannot be reached, or the connection broke."""


class UnexpectedAnswer(TryLater):
    """This version does not understand fal's answer to a read. It never counts as success."""


class ForeignAnswer(UnexpectedAnswer):
    """Something in front of fal answered instead of it: a firewall, a proxy, a gateway, a login page."""

    advice = (
        "This answer says nothing about the request, which goes on at fal and may be charged. Check the connection's "
        "queue URL, and each firewall and proxy between Airflow and fal."
    )


class DoubtfulAnswer(ForeignAnswer):
    """A refusal that fal or a gateway may have sent. It counts after several refusals in a row."""


class AnswerTooLarge(UnexpectedAnswer):
    """An answer is larger than this provider reads. Only its beginning was read."""


class OtherQueue(TryLater):
    """The connection leads to another queue than the one that has the request.

    A retry helps if Airflow could not read the connection for a moment, and the key in the environment was used.
    """

    advice = (
        "The request goes on at the queue that has it. A retry polls again, and submits nothing. If you changed the "
        "connection for good, clear the task that submits."
    )


class RecordUnavailable(TryLater):
    """Airflow's task state could not be read or written. It keeps the request ID for the next attempt."""

    advice = "A retry reads the record again before it submits anything."


class WaitTimeout(TryLater):
    """The clip was not ready within the task's ``timeout``."""


class BatchIncomplete(TryLater):
    """More clips of a batch failed than ``fail_on`` allows, and a new submission may help some of them."""

    advice = "A retry submits the clips that it may help. It does not pay again for clips that are done."


class BatchFailed(PikaError):
    """More clips of a batch failed than ``fail_on`` allows, and no retry helps."""

    advice = (
        "Correct the inputs that fal refused, then clear the task. With on_clear='reuse' it submits only the clips "
        "that failed."
    )


class SavingIncomplete(TryLater):
    """More clips of a batch could not be saved than ``fail_on`` allows, and a retry may help some of them."""

    advice = "A retry saves the clips that are missing. It downloads nothing twice, and pays for nothing."


class SavingFailed(PikaError):
    """More clips of a batch could not be saved than ``fail_on`` allows, and no retry helps."""

    advice = (
        "The manifest has the error of each clip. Correct the cause, and clear this task. It saves the clips that are "
        "missing, and pays for nothing."
    )


class RecordUnreadable(PikaError):
    """Airflow's task state holds a record of an earlier submission that this version cannot read."""

    advice = (
        "Nothing was submitted, because the record may be of a request that you have paid for. Look for the request in "
        "your fal account. To submit anew, delete the record in the task's state in Airflow."
    )


class CostLimitExceeded(PikaError):
    """A submission could cost more than the task's ``max_cost`` has left, or its price is unknown."""

    advice = (
        "A retry fails the same way. Raise max_cost, ask for less, or tell the price in the connection's extra, and "
        "clear the task."
    )

    def __init__(self, message: str, *, consequence: str | None = None, **known: Any) -> None:
        super().__init__(message, consequence="Nothing was submitted." if consequence is None else consequence, **known)


class SubmitUnknown(PikaError):
    """A submit has an unknown outcome: its reply was lost, and fal has no idempotency key (fal-protocol.md, 3)."""

    advice = (
        "The request may be running and may be charged, so the task fails without retries. Look for it in the request "
        "history of your fal account, which does not show requests that wait. To go on, clear the task. On Airflow 3.3 "
        "it searches once more, and submits and pays again unless it finds exactly one. An older Airflow submits again."
    )


class GenerationFailed(PikaError):
    """The request ended at fal without a clip.

    :param billable_units: what fal billed for it, in units. None: fal did not say.
    """

    advice = "fal may charge for a request that ran. To submit it again, clear the task that submitted it."
    billable_units: float | None = None

    def __init__(self, message: str, *, billable_units: float | None = None, **known: Any) -> None:
        super().__init__(message, **known)
        if billable_units is not None:  # a version before this one cannot read it out of a trigger's event
            self.billable_units = billable_units

    @property
    def charged(self) -> Literal["yes", "no", "unknown"]:
        """Whether fal charges for the request."""
        if self.billable_units is not None:
            return "yes" if self.billable_units > 0 else "no"
        is_servers = isinstance(self, GenerationInterrupted) and (self.status_code or 0) >= 500
        return "no" if is_servers or isinstance(self, StartTimeout) else "unknown"


class InputRejected(GenerationFailed):
    """The model refused the input (422). fal checks the input when the request runs, not at submit."""

    advice = "Correct the input. fal refuses the same one again, and may charge for a refused request that ran."


class ContentPolicyViolation(InputRejected):
    """fal's content checker refused the prompt, or the clip."""

    advice = "Change the prompt. fal refuses the same one again, and may charge for a refused request that ran."


class GenerationCancelled(GenerationFailed):
    """The request was cancelled before it ended (499)."""

    retry_helps = True
    advice = "The task that submitted it submits anew when Airflow retries it, or when you clear it."


class GenerationInterrupted(GenerationFailed):
    """The request failed for a temporary reason: a broken runner, a busy service, a time limit."""

    retry_helps = True
    advice = "A new submission may succeed. fal does not charge for server errors."


class StartTimeout(GenerationInterrupted):
    """fal did not start the request within its ``start_timeout``, and dropped it."""

    advice = "fal does not charge for it. A new submission may start in time. If not, allow a longer start_timeout."


class UntrustedUrl(PikaError):
    """The clip's URL, or a redirect, leads to a host or an address that the connection does not allow."""

    advice = (
        "Nothing was downloaded from there. If the host is yours, add it to media_hosts in the connection, and clear "
        "the task."
    )


class VideoExpired(PikaError):
    """There is no file at the URL, or there is none any more (404, 410)."""

    advice = (
        "fal has deleted the file, so a retry does not help. For a new clip, clear the task that generates it, which "
        "pays again. To prevent this, let your fal account keep media for longer."
    )


class DownloadRefused(PikaError):
    """The host refuses the download (403 and similar)."""

    advice = (
        "You have paid for the clip, and it may still be there: a fal account can make its files private. Allow "
        "reading by URL, and clear this task. It downloads the clip again, and pays for nothing."
    )


class DownloadInterrupted(PikaError):
    """The download did not end in time: the connection broke or stalled, or the host failed."""

    retry_helps = True
    advice = "A retry of this task downloads the same file again, and pays for nothing."


class UnexpectedFile(DownloadInterrupted):
    """The file is not as fal announced it: it has another length, or no video's content type."""

    advice = (
        "A retry of this task downloads it again, and pays for nothing. If the file is good and fal announced a wrong "
        "length, set must_fit=False."
    )


class VideoRejected(PikaError):
    """The file is complete, but it is no video, or not the requested one. It was not saved."""

    advice = (
        "A retry downloads the same file. If only its length or size differs from the request, set must_fit=False and "
        "clear this task, which pays for nothing. For a new clip, clear the task that generates it, which pays again."
    )


class VideoTooLarge(VideoRejected):
    """The file is larger than ``max_bytes``. The download was stopped."""

    advice = "A retry finds the same file. To save it, raise max_bytes, and clear this task, which pays for nothing."


class PathTaken(PikaError):
    """The path has a file of another request or of somebody else, or something that is no file. It was not changed."""

    advice = (
        "Use another path, or move the file away, and clear this task. If this task saves clips, that pays for "
        "nothing, and overwrite=True replaces a file or a symbolic link. It never replaces a folder or a device."
    )


class StorageFailed(PikaError):
    """The storage could not be read or written: a full disk, a refusal, no connection. No partial file is left."""

    retry_helps = True
    advice = "The clip stays at fal until its URL expires. A retry downloads and writes it again, and pays for nothing."


class PathInUse(StorageFailed):
    """Another task saves to the same path at this moment. This task changed nothing."""

    advice = (
        "If that task saves the same clip, a retry finds it there. If it saves another clip, every retry is refused. "
        "Then give each task its own path, for example with {{ task.video.request_id }}, and clear this task, which "
        "pays for nothing."
    )


__all__ = [error.__name__ for error in tree(PikaError)]
