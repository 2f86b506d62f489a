"""What fal tells about prices, asked once in a while and remembered by the process.

:func:`ask` is a generator: ``x = yield call`` sends the call, and ``x`` is what fal's answer means. ``sansio.py`` has
an example.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import pendulum

from airflow_provider_pika.exceptions import PikaError
from airflow_provider_pika.fal import requests
from airflow_provider_pika.fal.account import Account
from airflow_provider_pika.fal.prices import Told, told_average, told_price
from airflow_provider_pika.fal.sansio import Conversation
from airflow_provider_pika.strict_json import one_line

#: Seconds that fal's word on a price is good for. Prices change a few times a year, but a triggerer runs for weeks: an
#: hour is late enough to cost nothing (one small read), and soon enough for the same night.
KEPT = 3600.0

#: Seconds after which fal is asked again where it did not answer: a batch must not ask for each of its clips.
ASKED_AGAIN = 60.0

#: Endpoints of one call (fal-protocol.md, 6).
_TOGETHER = 50

#: Prices that are remembered: an account has some endpoints, a process some accounts.
_MOST_REMEMBERED = 1000


#: Characters of an error in a reason.
_LONGEST_TROUBLE = 300


class _Remembered(NamedTuple):
    told: Told
    until: float


#: What fal told, by account and endpoint, and whether for its average, too; ``until`` is of ``time.monotonic``.
_REMEMBERED: dict[tuple[str, str, bool], _Remembered] = {}


def ask(account: Account, endpoints: Iterable[str], *, average: bool = True) -> Conversation[dict[str, Told]]:
    """Return what fal tells about the prices of some endpoints. Never raises ``PikaError``: they may be unknown.

    fal is asked for its price list, and for the average of past calls where that has no price.

    :param average: False: not for the average, which only estimates.
    """
    now, who = time.monotonic(), _name_of(account)
    wanted = list(dict.fromkeys(endpoints))
    told = {
        endpoint: known.told
        for endpoint in wanted
        if (known := _REMEMBERED.get((who, endpoint, average))) is not None and now < known.until
    }
    new = [endpoint for endpoint in wanted if endpoint not in told]
    for first in range(0, len(new), _TOGETHER):
        answers = yield from _asked(account.platform_url, new[first : first + _TOGETHER], average)
        if len(_REMEMBERED) > _MOST_REMEMBERED:
            _REMEMBERED.clear()
        for endpoint, (answer, answered) in answers.items():
            told[endpoint] = answer
            until = time.monotonic() + (KEPT if answered else ASKED_AGAIN)
            _REMEMBERED[who, endpoint, average] = _Remembered(answer, until)
    return told


def forget() -> None:
    """Forget what fal has told, so that it is asked again."""
    _REMEMBERED.clear()


def _asked(platform_url: str, endpoints: list[str], with_average: bool) -> Conversation[dict[str, tuple[Told, bool]]]:
    """Return what fal tells about each of some endpoints, and whether it answered all that was asked."""
    today = pendulum.now("UTC").to_date_string()
    answers: dict[str, tuple[Told, bool]] = {}
    rows: list[Any] = []
    trouble, answers_now = None, True
    try:
        rows = yield requests.pricing(platform_url, endpoints)
    except PikaError as error:
        trouble = one_line(error.message, _LONGEST_TROUBLE).rstrip(".")
        answers_now = not error.retry_helps
    for endpoint in endpoints:
        price = told_price(rows, endpoint, today)
        if not isinstance(price, str):
            answers[endpoint] = (Told(price), True)
            continue
        average, answered = None, trouble is None and answers_now
        if with_average and answers_now:  # a platform that hangs is not asked for each of them
            try:
                average = told_average((yield requests.average(platform_url, endpoint)), today)
            except PikaError as error:
                answered, answers_now = False, not error.retry_helps
        reason = price if trouble is None else f"fal's price list cannot be read ({trouble})"
        answers[endpoint] = (Told(None, average, reason), answered)
    return answers


def _name_of(account: Account) -> str:
    """Return a name of an account that does not show its key."""
    return hashlib.sha256(f"{account.platform_url}\n{account.authorization}".encode()).hexdigest()
