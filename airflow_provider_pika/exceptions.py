"""What can go wrong, as one small tree; every class says whether asking again can help.

None of these is an Airflow exception: ``fal/`` raises them, and ``fal/`` knows no Airflow. ``task/errors.py`` decides
what Airflow does with one. fal's error model is fal-protocol.md, section 4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from airflow_provider_pika.strict_json import one_line

#: Characters of a message, and of a name in it: they go into logs, events and XComs.
LONGEST_MESSAGE, LONGEST_NAME = 10_000, 300

#: What a refused value means for a request that was to be sent with it.
NOT_SENT = "This was not sent to fal."


class PikaError(Exception):
    """Something went wrong between this provider and fal.

    ``str()`` gives the message, then what identifies it, what follows from it, and what to do. Every text is one line
    of bounded length, without control characters, since it goes into logs and databases. Every error pickles.

    :param message: what happened, in fal's own words if it said any.
    :param consequence: what it means for the request: whether it was accepted, and whether it may still run.
    :param request_id: the request that it happened to. None: there is none, or it is not known.
    :param error_type: fal's machine-readable type, such as ``content_policy_violation``. None: fal gave none.
    :param status_code: the HTTP status of fal's answer. None: there was no answer.
    :param retry_after: seconds that fal asked to wait before the next try. None: fal did not ask.
    """

    #: Whether the same call, made again later with nothing changed, may succeed.
    retry_helps: ClassVar[bool] = False
    #: What to do about it, and what it means for the money.
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
        known = {"request id": self.request_id, "type": self.error_type, "HTTP": self.status_code}
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
        """Build the error again from :meth:`as_json`.

        :raises KeyError: for a class that this tree does not have.
        """
        known = {error.__name__: error for error in tree(PikaError)}
        fields = dict(value)
        return known[fields.pop("error")](**fields)


def tree(root: type[PikaError]) -> list[type[PikaError]]:
    """Return a class and all below it."""
    return [root, *(error for child in root.__subclasses__() for error in tree(child))]


class InvalidInput(PikaError, ValueError):
    """A value is not one that the endpoint, fal's queue or a task takes; found before anything was sent.

    :param consequence: as in any error. None: it was not sent to fal. A task that sends nothing says something else.
    """

    advice = "A retry fails the same way until the value is corrected."

    def __init__(self, message: str, *, consequence: str | None = None, **known: Any) -> None:
        super().__init__(message, consequence=NOT_SENT if consequence is None else consequence, **known)


class MissingKey(PikaError):
    """There is no fal key: not in the connection, not in the environment, no saved login."""

    advice = (
        "This call was not sent. Put the key in the connection's password, or set FAL_KEY (or FAL_KEY_ID and "
        "FAL_KEY_SECRET) for every Airflow process that runs tasks or triggers."
    )


class UnusableProxy(PikaError):
    """The environment names a proxy that not every part of this provider can use; found before anything was sent."""

    advice = (
        "Nothing was sent. Set it to http://host:port or https://host:port for every Airflow process that runs tasks "
        "or triggers (SOCKS is not supported), or name fal's hosts in NO_PROXY."
    )


class InvalidKey(PikaError):
    """fal refused the key (401)."""

    advice = "Correct the key, then clear the task."


class AccessDenied(PikaError):
    """The key is good but may not do this (403)."""

    advice = "A retry fails the same way until the account at fal allows it."


class ExhaustedBalance(AccessDenied):
    """fal locked the account because its balance is used up (403); every submit is refused."""

    advice = "Top up the balance at fal, then clear the task."


class UnknownEndpoint(PikaError):
    """fal has no such endpoint (404 at submit)."""

    advice = "Nothing was submitted. Compare the endpoint's spelling with its page at fal."


class UnknownRequest(PikaError):
    """fal does not know this request id, or no longer (404)."""

    advice = (
        "The id is mistyped, or from another account or app, or its result has expired (fal keeps results for about "
        "an hour). Polling again does not help. To get a new clip, and pay for it, clear the task that submitted it."
    )


class RequestRejected(PikaError):
    """fal, or what stands at its address, refused a call in a way that a repeat does not change."""

    advice = "Check the connection's queue URL; a retry is answered the same way."


class UnknownStatus(PikaError):
    """fal says that a request is in a state that this version does not know; never taken for success."""

    advice = "The request may be running or ended, and may be charged: look at it in your fal account."


class TryLater(PikaError):
    """Something failed in a way that passes."""

    retry_helps = True


class MissingConnection(TryLater):
    """The default connection is not there, or could not be read just now, and the environment has no key either.

    Airflow does not tell the two apart, so this is retried, where a connection without a key is not.
    """

    advice = MissingKey.advice


class UnusableCertificates(TryLater):
    """SSL_CERT_FILE or SSL_CERT_DIR names no certificates; found before anything was sent."""

    advice = (
        "Nothing was sent. Point the variable at a PEM file (SSL_CERT_FILE), or at a folder that c_rehash prepared "
        "(SSL_CERT_DIR), for every Airflow process that runs tasks or triggers."
    )


class RateLimited(TryLater):
    """fal asks for fewer calls (429); ``retry_after`` has the wait it named, in seconds."""


class ServerUnavailable(TryLater):
    """fal, or a gateway before it, could not answer (408 or 5xx)."""


class Unreachable(TryLater):
    """There was no answer: the host cannot be reached, or the connection broke while reading."""


class UnexpectedAnswer(TryLater):
    """fal answered a read with something that this version does not understand; never taken for success."""


class ForeignAnswer(UnexpectedAnswer):
    """Something in front of fal answered in its place: a firewall, a proxy, a gateway, a login page."""

    advice = (
        "This answer says nothing about the request, which goes on at fal and may be charged. Look at what stands "
        "between Airflow and fal: a firewall, a proxy, the connection's queue URL."
    )


class DoubtfulAnswer(ForeignAnswer):
    """A refusal in words that fal may have said, and a gateway too; it counts once it was said often enough."""


class AnswerTooLarge(UnexpectedAnswer):
    """An answer has more bytes than one of its kind may have; only its first words were read."""


class OtherQueue(TryLater):
    """The connection leads to another queue than the one that has the request.

    It passes where a connection could not be read for a moment, and another key's queue was taken for it.
    """

    advice = (
        "The request goes on where it was; a retry polls again, and submits nothing. If the connection was changed for "
        "good, clear the task that submits."
    )


class RecordUnavailable(TryLater):
    """Airflow's task state, where the request's id is kept for the next attempt, could not be read or written."""

    advice = "A retry reads the record again before it submits anything."


class WaitTimeout(TryLater):
    """The video was not there within the operator's ``timeout``."""


class BatchIncomplete(TryLater):
    """More clips of a batch failed than its ``fail_on`` allows, and a new submission may help some of them."""

    advice = "A retry submits those again that it may help; what is done stays done, and is not paid for again."


class BatchFailed(PikaError):
    """More clips of a batch failed than its ``fail_on`` allows, in ways that no retry mends."""

    advice = (
        "Where fal refused an input, correct it. A clear of the task submits what failed, and leaves what is done "
        "(with on_clear='reuse')."
    )


class SavingIncomplete(TryLater):
    """More clips of a batch could not be saved than ``fail_on`` allows, and a retry may help some of them."""

    advice = "A retry saves what is missing, fetches nothing twice, and pays for nothing."


class SavingFailed(PikaError):
    """More clips of a batch could not be saved than ``fail_on`` allows, in ways that no retry mends."""

    advice = (
        "The manifest says of each what is wrong. Correct that, and clear this task: it saves what is missing, and "
        "pays for nothing."
    )


class RecordUnreadable(PikaError):
    """Airflow's task state holds a record of an earlier submission that this version cannot read."""

    advice = (
        "Nothing was submitted, since the record may stand for a request that was paid for. Look at it in the task's "
        "state in Airflow, and for the request in your fal account; delete the record there to submit anew."
    )


class SubmitUnknown(PikaError):
    """A submit was sent and its answer lost: fal may have accepted it, and has no idempotency key (fal-protocol, 3)."""

    advice = (
        "The request may be running and may be charged, so the task fails without a retry. Look for it in the request "
        "history of your fal account. Clear the task to go on: where Airflow keeps the task's state (3.3), it asks "
        "fal's history once more, takes the request if it is there, and submits again, and pays again, if it is not; "
        "on an older Airflow it submits again."
    )


class GenerationFailed(PikaError):
    """The request ran to its end at fal and brought no video."""

    advice = "fal may charge for a request that ran. To try the same again, clear the task that submitted it."


class InputRejected(GenerationFailed):
    """The model refused the input (422). fal checks an input only when it runs, never at submit."""

    advice = "Correct the input; the same one is refused again. fal may charge for a refused request that ran."


class ContentPolicyViolation(InputRejected):
    """fal's content checker refused the prompt, or what came of it."""

    advice = "Change the prompt; the same one is refused again. fal may charge for a refused request that ran."


class GenerationCancelled(GenerationFailed):
    """The request was cancelled before it ended (499)."""

    retry_helps = True
    advice = "The next try of the task that submitted it submits anew, as does clearing it."


class GenerationInterrupted(GenerationFailed):
    """The request failed in a way that may pass: a broken runner, a busy service, a time limit."""

    retry_helps = True
    advice = "A new submission may succeed; fal does not charge for server errors."


class StartTimeout(GenerationInterrupted):
    """fal did not start the request within its ``start_timeout``, and dropped it."""

    advice = "fal does not charge for it. A new submission may start in time; or allow a longer start_timeout."


class UntrustedUrl(PikaError):
    """A video's URL, or a redirect of it, leads to a host or an address that the connection does not allow."""

    advice = (
        "Nothing was fetched from there. If the host is one of yours, name it in the connection's media_hosts, and "
        "clear the task."
    )


class VideoExpired(PikaError):
    """There is no file at the URL, or no longer (404, 410)."""

    advice = (
        "fal has deleted the file, and a retry finds it no more. To get the clip again, and pay for it, clear the task "
        "that generates it; have your account at fal keep its media for longer."
    )


class DownloadRefused(PikaError):
    """The host refuses to give the file (403 and the like)."""

    advice = (
        "The file may be there, and is paid for: files of an account can be made private at fal. Allow it to be read "
        "by its URL, and clear this task, which fetches it again, and pays for nothing."
    )


class DownloadInterrupted(PikaError):
    """The file did not come to its end in time: the connection broke, stood still, or the host was in trouble."""

    retry_helps = True
    advice = "A retry of this task fetches the same file again, and pays for nothing."


class UnexpectedFile(DownloadInterrupted):
    """What came is not what fal announced: another length, or no video by its content type."""

    advice = (
        "A retry of this task fetches it again, and pays for nothing. If the file is good, and the length that fal "
        "announced is wrong, set must_fit=False."
    )


class VideoRejected(PikaError):
    """The file came whole, and is no video, or not the one that was asked for; so it was not published."""

    advice = (
        "A retry fetches the same file. If only its length or size is not what was asked for, must_fit=False takes it, "
        "and clearing this task pays for nothing; for another clip, and its price, clear the task that generates it."
    )


class VideoTooLarge(VideoRejected):
    """The file is larger than ``max_bytes`` allows; it was not fetched to its end."""

    advice = "A retry finds the same file. To take it, raise max_bytes, and clear this task, which pays for nothing."


class PathTaken(PikaError):
    """There is a file of another request, or of somebody else, or no file at all, at the path; it was left as it is."""

    advice = (
        "Use another path, or move away what is there, and clear this task. Where a clip is saved, that pays for "
        "nothing, and overwrite=True replaces a file, or a symbolic link itself; never a folder, a FIFO or a device."
    )


class StorageFailed(PikaError):
    """The storage could not be read or written: a full disk, a refusal, no connection. Nothing half is left there."""

    retry_helps = True
    advice = (
        "The clip is still at fal, until its URL expires; a retry fetches and writes it again, and pays for nothing."
    )


class PathInUse(StorageFailed):
    """Another task saves to the same path at this moment; this one left it alone."""

    advice = (
        "If that task saves the same clip, a retry finds it there. If it saves another clip, every retry is refused: "
        "give each task a path of its own, with {{ task.video.request_id }} say, and clear this one, which pays for "
        "nothing."
    )


__all__ = [error.__name__ for error in tree(PikaError)]
