"""Take a request back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowSkipException, BaseOperator

from airflow_provider_pika.exceptions import UnknownRequest
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.hooks import DEFAULT_CONNECTION
from airflow_provider_pika.task.errors import failing_when_a_submit_cannot_help, tells_why_it_fails
from airflow_provider_pika.task.rendering import RendersNoData

if TYPE_CHECKING:
    from typing import Any

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_pika.task.templates import Templated


class PikaCancelOperator(RendersNoData, BaseOperator):
    """Cancel a request, in a clean-up branch of a Dag. It does not fail if there is nothing to cancel.

    It returns fal's own word. ``CANCELLATION_REQUESTED``: a queued request is gone, and a running one is asked to
    stop. It may still complete, and be charged. ``ALREADY_COMPLETED``: its result is kept. ``NOT_FOUND``: fal does
    not know it. Without an ID, the task skips itself.

    :param request_id: the request, such as ``"{{ ti.xcom_pull('generate', key='request_id') }}"``.
    :param endpoint: the endpoint that the request was submitted to.
    :param pika_conn_id: the connection with the key. If ``pika_default`` does not exist, ``FAL_KEY`` works.
    """

    template_fields: Sequence[str] = ("request_id", "endpoint", "pika_conn_id")
    ui_color = "#efe3fa"
    _may_be_none = frozenset({"request_id"})  # there is nothing to cancel

    def __init__(
        self,
        *,
        request_id: Templated[str],
        endpoint: str = TEXT_TO_VIDEO,
        pika_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.request_id = request_id
        self.endpoint = endpoint
        self.pika_conn_id = pika_conn_id
        with failing_when_a_submit_cannot_help():
            self._check_references({name: getattr(self, name) for name in ("request_id", "endpoint", "pika_conn_id")})

    @tells_why_it_fails
    def execute(self, context: Context) -> str:
        """Cancel, and return fal's word."""
        from airflow_provider_pika.hooks.pika import PikaHook

        with failing_when_a_submit_cannot_help():
            self._refuse_nothing()
        if self.request_id in (None, "", "None"):
            raise AirflowSkipException("There is no request id, so nothing is cancelled.")
        with failing_when_a_submit_cannot_help():
            try:
                taken = PikaHook(self.pika_conn_id).cancel(self.endpoint, str(self.request_id))
            except UnknownRequest as error:
                self.log.warning("Nothing is cancelled: %s", error)
                return "NOT_FOUND"
        return "CANCELLATION_REQUESTED" if taken else "ALREADY_COMPLETED"
