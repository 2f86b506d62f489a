"""A pytest fixture that runs your Dags against the emulator: no key, no network, no cost.

Import it in your ``conftest.py``::

    from airflow_provider_pika.emulator.testing import fal_emulator

The first test that asks for it starts one emulator, which serves the whole pytest session.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from airflow_provider_pika.emulator.process import EmulatorProcess

#: What the emulator accepts; it takes any key.
KEY = "emulator-key-id:emulator-key-secret"

#: Variables that would give a client other than the connection's a key that pays.
REAL_KEYS = ("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET")

#: Clips that one emulator makes at once; the rest waits in its queue, as at fal.
RUNNERS = 8

#: Seconds that a generation takes at least. Drawing a clip of 5 s takes about half a second more.
GENERATION_TIME = 0.2


@dataclass
class StandInTaskInstance:
    """A task instance for an operator that runs outside of Airflow.

    :param xcoms: what the task has pushed; set a value here for it to pull.
    """

    dag_id: str = "test"
    run_id: str = "test"
    task_id: str = "test"
    map_index: int = -1
    try_number: int = 1
    max_tries: int = 0
    start_date: None = None
    xcoms: dict[str, Any] = field(default_factory=dict)

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep a value."""
        self.xcoms[key] = value

    def xcom_pull(self, task_ids: Any = None, key: str = "return_value", **_: Any) -> Any:
        """Return what was kept, whichever task is asked for; None if there is nothing."""
        return self.xcoms.get(key)

    def get_first_reschedule_date(self, context: Any) -> None:
        """Return None: it was never rescheduled."""


class FalEmulator:
    """The emulator, as one test sees it: a connection that leads to it, its own requests, its own faults.

    :param url: the queue's URL, without a trailing slash.
    """

    def __init__(self, process: EmulatorProcess, environment: pytest.MonkeyPatch) -> None:
        """Connect ``pika_default`` to a running emulator. You usually want the fixture, or `emulated_fal`."""
        self.url = process.queue_url
        self._process = process
        self._environment = environment
        self._since = time.time()
        for name in REAL_KEYS:
            environment.delenv(name, raising=False)
        host = str(urlsplit(self.url).hostname)
        for name in ("NO_PROXY", "no_proxy"):  # a proxy reaches another machine's loopback, or none
            environment.setenv(name, ",".join(filter(None, [os.environ.get(name), host])))
        self.connect("pika_default")

    def connect(self, conn_id: str, **extra: Any) -> None:
        """Lead one more Airflow connection to the emulator until the test ends.

        :param extra: the connection's extra fields, ``http_timeout=5`` say.
        """
        connection = {"conn_type": "pika", "host": self.url, "password": KEY, "extra": extra}
        self._environment.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))

    @property
    def prompts(self) -> list[str]:
        """Return the prompts that this test has submitted, oldest first. Each one would have been paid for."""
        return [request["input"].get("prompt", "") for request in self.requests()]

    def requests(self, prompt: str = "") -> list[dict[str, Any]]:
        """Return the requests that this test has submitted, oldest first, or those with ``prompt`` in their prompt.

        Each has ``request_id``, ``endpoint_id``, ``input``, ``state``, ``status_code`` and more: the emulator's page
        lists them.
        """
        return self._process.requests(prompt, since=self._since)

    def fault(self, name: str, *, match: str = "", **options: Any) -> None:
        """Let something go wrong in this test, ``fault("content_policy_violation")`` say.

        :param name: one of the faults on the emulator's page.
        :param match: only for prompts that contain this text.
        :param options: the fault's own options, and ``times`` (1 unless given) and ``on``.
        :raises ValueError: there is no such fault or option.
        """
        try:
            self._process.fault(name, match=match, **options)
        except httpx.HTTPStatusError as error:
            refused = error.response.json()["detail"]
            wrong = "; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in refused)
            raise ValueError(f"The emulator has no such fault as {name!r} with {options}. {wrong}") from None

    @staticmethod
    def context(**more: Any) -> Any:
        """Return a context for an operator's ``execute``, without Airflow's database.

        ``context["ti"].xcoms`` has what the task pushes. Set ``deferrable=False`` on a task that waits.
        """
        return {"ti": StandInTaskInstance(), "outlet_events": {}, **more}

    def end(self) -> None:
        """Clear the faults, and stop what still runs, for the next test."""
        self._process.clear_faults()
        self._process.cancel_unfinished(since=self._since)


@contextlib.contextmanager
def emulated_fal(
    *, runners: int = RUNNERS, generation_time: float | str = GENERATION_TIME, render: bool = True
) -> Iterator[FalEmulator]:
    """Start an emulator of your own, for a fixture of a wider scope or with other options.

    :param runners: how many requests run at once.
    :param generation_time: seconds that a generation takes at least, ``3`` or a range ``"2-6"``.
    :param render: False: every clip is the same small one, which costs no CPU. A task that saves it then needs
        ``must_fit=False``.
    :raises RuntimeError: the emulator does not start; its text says why.
    """
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fal-emulator-", ignore_cleanup_errors=True))
        process = stack.enter_context(_started(Path(folder), runners, generation_time, render))
        yield FalEmulator(process, stack.enter_context(pytest.MonkeyPatch.context()))


@pytest.fixture
def fal_emulator(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[FalEmulator]:
    """Lead the connection ``pika_default`` to an emulator that all tests of the session share."""
    reason = ""
    try:
        process = _shared(pytestconfig)
    except RuntimeError as error:
        reason = str(error)
    if reason:  # here, so that pytest shows one sentence, and no chain of errors
        pytest.fail(reason, pytrace=False)
    emulator = FalEmulator(process, monkeypatch)
    yield emulator
    emulator.end()


#: Where a session keeps its emulator.
_SHARED = pytest.StashKey[EmulatorProcess]()


def _shared(config: pytest.Config) -> EmulatorProcess:
    """Return the session's emulator; start it the first time, and stop it when pytest ends."""
    if _SHARED not in config.stash:
        with contextlib.ExitStack() as stack:
            folder = tempfile.TemporaryDirectory(prefix="fal-emulator-", ignore_cleanup_errors=True)
            process = _started(Path(stack.enter_context(folder)), RUNNERS, GENERATION_TIME, True)
            config.stash[_SHARED] = stack.enter_context(process)
            config.add_cleanup(stack.pop_all().close)
    return config.stash[_SHARED]


def _started(data: Path, runners: int, generation_time: float | str, render: bool) -> EmulatorProcess:
    extra = [] if render else ["--render", "off"]
    return EmulatorProcess.start(data, runners=runners, generation_time=str(generation_time), extra=extra)
