"""What can go wrong, as one small tree; every class says whether asking again can help.

None of these is an Airflow exception: ``fal/`` raises them, and ``fal/`` knows no Airflow. ``task/errors.py`` decides
what Airflow does with one. fal's error model is fal-protocol.md, section 4.
"""

from __future__ import annotations

from airflow_provider_pika.pika_error import PikaError as PikaError  # users catch it from here
from airflow_provider_pika.pika_error import tree
from airflow_provider_pika.saving_errors import DownloadInterrupted as DownloadInterrupted
from airflow_provider_pika.saving_errors import DownloadRefused as DownloadRefused
from airflow_provider_pika.saving_errors import PathTaken as PathTaken
from airflow_provider_pika.saving_errors import StorageFailed as StorageFailed
from airflow_provider_pika.saving_errors import UnexpectedFile as UnexpectedFile
from airflow_provider_pika.saving_errors import UntrustedUrl as UntrustedUrl
from airflow_provider_pika.saving_errors import VideoExpired as VideoExpired
from airflow_provider_pika.saving_errors import VideoRejected as VideoRejected
from airflow_provider_pika.saving_errors import VideoTooLarge as VideoTooLarge


class InvalidInput(PikaError, ValueError):
    """A value is not one that the endpoint, or fal's queue, takes; found before anything was sent."""

    advice = "This was not sent to fal. A retry fails the same way until the value is corrected."


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
        "an hour). Looking again does not help. To get a new clip, and pay for it, clear the task that submitted it."
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
        "The request goes on where it was; a retry looks again, and submits nothing. If the connection was changed for "
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


__all__ = [error.__name__ for error in tree(PikaError)]
