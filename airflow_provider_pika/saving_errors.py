"""What can go wrong between a video's URL and the file in a team's own storage.

None of these costs another generation: a retry of the task that saves fetches the same URL again. What a user catches,
``exceptions.py`` has.
"""

from __future__ import annotations

from airflow_provider_pika.pika_error import PikaError


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
