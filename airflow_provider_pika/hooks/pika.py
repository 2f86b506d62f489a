"""An Airflow connection becomes a client of fal's queue. Auth lives here, and only here."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, mask_secret

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.get_provider_info import CONNECTION_FIELDS, CONNECTION_FORM
from airflow_provider_pika.hooks import CONNECTION_TYPE, DEFAULT_CONNECTION, LONGEST_CALL
from airflow_provider_pika.hooks.connection import account_of, checked, media_hosts_of, prices_of, queue_url_of

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_pika.fal.account import Account
    from airflow_provider_pika.fal.async_client import AsyncFalQueue
    from airflow_provider_pika.fal.client import FalQueue
    from airflow_provider_pika.fal.inputs import SubmitControls
    from airflow_provider_pika.fal.models import QueueStatus, Video
    from airflow_provider_pika.fal.prices import Prices
    from airflow_provider_pika.media.url_policy import Trust


#: Seconds for each call about prices: whoever asks wants to submit, and can do without an answer.
_PRICES_WITHIN = 10.0


class PikaHook(BaseHook):
    """Talk to fal's queue with the key and the address of an Airflow connection of type ``pika``.

    The key is the first of these: the connection's password, ``FAL_KEY``, ``FAL_KEY_ID`` with ``FAL_KEY_SECRET``, a
    saved ``fal auth login``. The address is the connection's host (a URL), or fal itself. ``pika_default`` need not
    exist. A connection that you name otherwise must exist.

    Every method that talks to fal raises :class:`~airflow_provider_pika.exceptions.PikaError`.

    :param pika_conn_id: the connection's ID.
    """

    conn_name_attr = "pika_conn_id"
    default_conn_name = DEFAULT_CONNECTION
    conn_type = CONNECTION_TYPE
    hook_name = "Pika (fal)"

    def __init__(self, pika_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.pika_conn_id = pika_conn_id

    def get_conn(self, within: float = LONGEST_CALL) -> FalQueue:
        """Return a blocking client of the queue. The caller closes it.

        :param within: seconds that one call may take, if the connection does not say less.
        :raises MissingKey: there is no key anywhere.
        :raises InvalidInput: the connection's address, key or timeout cannot be one.
        :raises AirflowNotFoundException: there is no connection of this ID, and it is not the default one.
        """
        from airflow_provider_pika.fal.client import FalQueue

        return FalQueue(_hurried(self._account(self._connection()), within))

    async def aget_conn(self) -> AsyncFalQueue:
        """Return a client for an event loop. The caller closes it. It raises what :meth:`get_conn` raises."""
        return await self._aqueue(*await self._connection_for_a_loop())

    async def _aqueue(
        self, connection: Connection | None, extra: Mapping[str, Any], within: float = LONGEST_CALL
    ) -> AsyncFalQueue:
        def build() -> AsyncFalQueue:
            from airflow_provider_pika.fal.async_client import AsyncFalQueue

            account = account_of(connection, extra) if connection else self._account_without_connection()
            return AsyncFalQueue(_hurried(account, within))

        queue = await asyncio.to_thread(build)
        for secret in queue.account.secrets:
            await _amask_secret(secret)
        return queue

    def mask_key(self) -> None:
        """Have Airflow mask the key in this process's log. Raises as :meth:`get_conn`."""
        self._account(self._connection())

    def _connection(self) -> Connection | None:
        """Return the connection; None: there is no default one."""
        try:
            return checked(self.get_connection(self.pika_conn_id))
        except AirflowNotFoundException:
            self._check_absence()
            return None

    def _account(self, connection: Connection | None) -> Account:
        account = account_of(connection, connection.extra_dejson) if connection else self._account_without_connection()
        for secret in account.secrets:  # Airflow knows a connection's password, but not FAL_KEY, and not its half
            mask_secret(secret)
        return account

    def submit(self, endpoint: str, arguments: Mapping[str, Any], controls: SubmitControls | None = None) -> str:
        """Submit, and return the request ID. What fal certainly did not accept is posted again, twice at most.

        :param endpoint: such as ``fal-ai/pika/v2.5/text-to-video``.
        :param arguments: the endpoint's input. fal checks it only when the request runs.
        :raises SubmitUnknown: the reply is lost, and fal may have accepted the request.
        """
        with self.get_conn() as queue:
            return queue.submit(endpoint, arguments, controls)

    def status(self, endpoint: str, request_id: str, *, logs: bool = False) -> QueueStatus:
        """Return where a request stands: its status, its position in the queue, and with ``logs`` fal's log."""
        with self.get_conn() as queue:
            return queue.status(endpoint, request_id, logs=logs)

    def result(self, endpoint: str, request_id: str) -> Video:
        """Return the clip of a completed request.

        :raises GenerationFailed: the request ended without one.
        """
        with self.get_conn() as queue:
            return queue.result(endpoint, request_id)

    def cancel(self, endpoint: str, request_id: str) -> bool:
        """Ask fal to cancel. False: the request had completed before. A running one may complete all the same."""
        with self.get_conn() as queue:
            return queue.cancel(endpoint, request_id)

    async def asubmit(self, endpoint: str, arguments: Mapping[str, Any], controls: SubmitControls | None = None) -> str:
        """Do what :meth:`submit` does, on an event loop."""
        async with await self.aget_conn() as queue:
            return await queue.submit(endpoint, arguments, controls)

    async def astatus(self, endpoint: str, request_id: str, *, logs: bool = False) -> QueueStatus:
        """Do what :meth:`status` does, on an event loop."""
        async with await self.aget_conn() as queue:
            return await queue.status(endpoint, request_id, logs=logs)

    async def aresult(self, endpoint: str, request_id: str) -> Video:
        """Do what :meth:`result` does, on an event loop."""
        async with await self.aget_conn() as queue:
            return await queue.result(endpoint, request_id)

    async def acancel(self, endpoint: str, request_id: str) -> bool:
        """Do what :meth:`cancel` does, on an event loop."""
        async with await self.aget_conn() as queue:
            return await queue.cancel(endpoint, request_id)

    def estimate(
        self, inputs: Mapping[str, Any] | Sequence[str | Mapping[str, Any]], *, endpoint: str = TEXT_TO_VIDEO
    ) -> dict[str, Any]:
        """Return what some clips will cost, as far as it is known. Nothing is submitted.

        The price of each is the first that is known: the connection's, fal's, fal's average, the rate card's. An
        unknown price is never counted as 0. ``amount`` is the sum of the known ones, a decimal text. ``unknown`` counts
        the others, ``reasons`` say why, and ``paste`` is what to add to the connection's extra.

        :param inputs: one dict of the endpoint's inputs, or a list of them and of prompts, as a batch takes it.
        :param endpoint: such as ``fal-ai/pika/v2.5/text-to-video``.
        :raises InvalidInput: an input, the endpoint or one of the connection's prices is not allowed.
        """
        from airflow_provider_pika.hooks.costs import estimate_of, inputs_of

        asked = inputs_of(inputs, endpoint)
        return estimate_of(asked, endpoint, self.prices([endpoint]))

    async def aestimate(
        self, inputs: Mapping[str, Any] | Sequence[str | Mapping[str, Any]], *, endpoint: str = TEXT_TO_VIDEO
    ) -> dict[str, Any]:
        """Do what :meth:`estimate` does, on an event loop."""
        from airflow_provider_pika.hooks.costs import estimate_of, inputs_of

        asked = inputs_of(inputs, endpoint)
        return estimate_of(asked, endpoint, await self.aprices([endpoint]))

    def spend(
        self, since: datetime, until: datetime | None = None, *, by: str = "dag", endpoints: Collection[str] = ()
    ) -> dict[str, Any]:
        """Return what was spent in a span of time, as ``python -m airflow_provider_pika spend --json`` prints it.

        It reads fal's billing events, which needs a key with the ADMIN right. With another key it estimates from fal's
        request history, which has no tags: every Dag is None then. fal's books may lag behind.

        The object has these keys, with money as decimal texts:

        - ``since``, ``until``: the span in UTC.
        - ``source``: ``"fal's billing events"``, or ``"fal's request history"`` where the costs are estimated.
        - ``by``, ``groups``: a sum for each day in order, or for each Dag, task or endpoint with the dearest first. The
          key named by ``by`` has the day, the Dag and so on, or None.
        - ``total``: the sum of all. A sum has ``requests``, ``amount``, ``currency``, ``amounts`` by currency,
          ``basis``, ``known``, ``unknown``, ``reasons`` and ``differing``. An unknown cost is never counted as 0:
          ``unknown`` counts those. ``amount`` is None if no cost is known, or if they have several currencies.
        - ``differing``: the requests that fal billed otherwise than by your price, as a sum with ``named``, a list.
        - ``without_dag``: the billed requests whose tags name no Dag, in the same form.
        - ``of_unknown_dags``: None. The command fills it with ``--known-dags``.
        - ``notes``: sentences that a reader needs, such as why the costs are estimated.

        :param since: a datetime with a time zone, 366 days before ``until`` at most. A naive one is refused.
        :param until: the end, which is excluded. None, or a later time: now.
        :param by: ``"day"`` (UTC), ``"dag"``, ``"task"`` or ``"endpoint"``.
        :param endpoints: only these, 50 at most. Empty: all, or the default endpoint where the history is read.
        :raises InvalidInput: an argument is not allowed, an empty span included.
        """
        from airflow_provider_pika.hooks.spend import endpoints_of, group_of, report_of, span_of
        from airflow_provider_pika.strict_json import clean_json

        report = report_of(self, *span_of(since, until), group_of(by), endpoints_of(endpoints))
        return clean_json(report.as_json())  # type: ignore[no-any-return]

    def prices(self, endpoints: Iterable[str], *, average: bool = True) -> Prices:
        """Return the prices that are known for some endpoints: the connection's own, and what fal tells.

        fal is asked only where the connection has no price, and once an hour for all of this process. A price that fal
        does not tell is unknown, and no error.

        :param average: ask fal, too, what a call has cost on average. It only estimates, so a bill needs no such call.
        :raises InvalidInput: one of the connection's prices is not allowed.
        :raises MissingKey: fal would have to be asked, and there is no key anywhere.
        """
        from airflow_provider_pika.fal.client import FalQueue
        from airflow_provider_pika.fal.prices import Prices

        connection = self._connection()
        own = prices_of(connection.extra_dejson if connection else {})
        if not (others := [endpoint for endpoint in endpoints if endpoint not in own]):
            return Prices(own)
        with FalQueue(_hurried(self._account(connection), _PRICES_WITHIN)) as queue:
            return Prices(own, queue.told_prices(others, average=average))

    async def aprices(self, endpoints: Iterable[str]) -> Prices:
        """Do what :meth:`prices` does, on an event loop."""
        from airflow_provider_pika.fal.prices import Prices

        connection, extra = await self._connection_for_a_loop()
        own = prices_of(extra)
        if not (others := [endpoint for endpoint in endpoints if endpoint not in own]):
            return Prices(own)
        async with await self._aqueue(connection, extra, _PRICES_WITHIN) as queue:
            return Prices(own, await queue.told_prices(others))

    def test_connection(self) -> tuple[bool, str]:
        """Ask for the status of a random ID, which costs nothing: a good key gets 404, a bad one 401."""
        try:
            self.status(TEXT_TO_VIDEO, str(uuid.uuid4()))
        except errors.UnknownRequest:
            return True, "The queue answered, and accepted the key."
        except errors.InvalidKey:
            return False, "The queue answered, and refused the key."
        except errors.PikaError as error:
            return False, error.message  # without its consequence: there is no request
        return False, "The server reports a request that does not exist, so it is not fal's queue."

    def trust(self) -> Trust:
        """Say where videos may be fetched from: fal's media hosts, the connection's own host and its ``media_hosts``.

        Needs no key.

        :raises InvalidInput: the connection's address or one of its media hosts cannot be one.
        :raises AirflowNotFoundException: as :meth:`get_conn`.
        """
        from airflow_provider_pika.media.url_policy import Trust

        if (connection := self._connection()) is None:
            return Trust.of(None)
        return Trust.of(queue_url_of(connection), media_hosts_of(connection.extra_dejson))

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the form's standard fields for Airflow 3.1; 3.2 and newer read the provider info."""
        return {name.replace("-", "_"): value for name, value in CONNECTION_FORM.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's own fields for Airflow 3.1; 3.2 and newer read the provider info."""
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
        from wtforms import IntegerField, StringField  # 3.1 takes these, passwords and switches, no other field

        kinds = {"integer": IntegerField, "string": StringField}
        return {
            name: kinds[field["schema"]["type"][0]](
                field["label"], widget=BS3TextFieldWidget(), description=field["description"]
            )
            for name, field in CONNECTION_FIELDS.items()
        }

    async def _connection_for_a_loop(self) -> tuple[Connection | None, Mapping[str, Any]]:
        """Return the connection and its extra; None: there is no default one."""
        try:
            connection = await get_async_connection(self.pika_conn_id)
            return checked(connection), await get_async_extra_dejson(connection)
        except AirflowNotFoundException:
            # `airflow dags test` runs triggers without the means for an async answer, and says "not found" (3.3.2). In
            # a triggerer the blocking call is safe, too: greenback turns it into an await (airflow-facts.md, 2.3).
            found = self._connection()
            return found, found.extra_dejson if found else {}

    def _check_absence(self) -> None:
        """Refuse that a connection does not exist, unless it is the default one."""
        if self.pika_conn_id != self.default_conn_name:
            raise AirflowNotFoundException(
                f"There is no connection {self.pika_conn_id!r}. Create it with type 'pika', or leave pika_conn_id out "
                "to use FAL_KEY."
            )

    def _account_without_connection(self) -> Account:
        try:
            account = account_of(None, {})
        except errors.MissingKey:
            raise errors.MissingConnection(f"There is no connection {self.pika_conn_id!r}, and no fal key.") from None
        self.log.info("There is no connection %r, so the environment's key is used, at fal itself.", self.pika_conn_id)
        return account


async def _amask_secret(secret: str) -> None:
    """Have Airflow mask a secret, without blocking the event loop.

    The triggerer's supervisor writes the log, so it must know, too. ``amask_secret`` came with 3.3.2; before,
    ``mask_secret`` talks to the supervisor in a way that a loop must not (airflow-facts.md, section 0, rule 10).
    """
    try:
        from airflow.sdk.log import amask_secret
    except ImportError:
        with suppress(Exception):
            from airflow.sdk.execution_time import task_runner
            from airflow.sdk.execution_time.comms import MaskSecret

            await task_runner.SUPERVISOR_COMMS.asend(MaskSecret(value=secret))
    else:
        await amask_secret(secret)


def _hurried(account: Account, within: float) -> Account:
    return replace(account, timeout=min(account.timeout, within))
