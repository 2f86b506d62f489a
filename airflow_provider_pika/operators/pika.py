"""Submit a generation, once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, BaseOperator

from airflow_provider_pika.exceptions import InvalidInput, SubmitUnknown
from airflow_provider_pika.failures import failing_when_a_submit_cannot_help
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.hooks.pika import PikaHook
from airflow_provider_pika.templates import check_known_endpoint, known_now

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_pika.fal.models import SubmitControls
    from airflow_provider_pika.templates import Templated


class PikaTextToVideoOperator(BaseOperator):
    """Ask Pika for a video of a prompt, and return fal's request id, a string, as soon as fal accepted it.

    The operator does not wait: hand its output to a ``PikaVideoSensor``. It sends one POST and never repeats it
    blindly. When the reply is lost, fal may have accepted the request, so the task fails without a retry and its
    message says where to look; when fal certainly accepted nothing, Airflow's retries submit again. Every argument is
    a template. Wrong literal values fail when the Dag is parsed, wrong rendered ones before anything is sent.

    :param prompt: what the video shows.
    :param resolution: "480p", "720p" or "1080p".
    :param duration: seconds, 5 or 10; as a number or as text.
    :param negative_prompt: what the video shall not show.
    :param seed: an integer, for a video that can be made again; None lets fal choose.
    :param endpoint: another Pika model at fal that takes the same input.
    :param extra_arguments: inputs that such a model takes besides, ``{"aspect_ratio": "9:16"}`` say; sent unchecked.
    :param start_timeout: seconds, above 0.1, within which fal must start the request, or drop it; None: no limit.
    :param priority: "low" waits behind everybody's "normal", which is fal's default.
    :param pika_conn_id: the connection with the key; without one, ``FAL_KEY`` works.
    """

    template_fields: Sequence[str] = (
        "prompt",
        "resolution",
        "duration",
        "negative_prompt",
        "seed",
        "endpoint",
        "extra_arguments",
        "start_timeout",
        "priority",
        "pika_conn_id",
    )
    template_fields_renderers = {"extra_arguments": "json"}  # noqa: RUF012 (Airflow's own declaration)
    ui_color = "#efe3fa"

    def __init__(
        self,
        *,
        prompt: Templated[str],
        resolution: Templated[str] = "720p",
        duration: Templated[int | str] = 5,
        negative_prompt: Templated[str] = "ugly, bad, terrible",
        seed: Templated[int | str | None] = None,
        endpoint: str = TEXT_TO_VIDEO,
        extra_arguments: Templated[Mapping[str, Any] | None] = None,
        start_timeout: float | str | None = None,
        priority: str | None = None,
        pika_conn_id: str = PikaHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.prompt = prompt
        self.resolution = resolution
        self.duration = duration
        self.negative_prompt = negative_prompt
        self.seed = seed
        self.endpoint = endpoint
        self.extra_arguments = extra_arguments
        self.start_timeout = start_timeout
        self.priority = priority
        self.pika_conn_id = pika_conn_id
        with failing_when_a_submit_cannot_help():
            self._check_what_is_known()

    def execute(self, context: Context) -> str:
        """Submit, and give the request id."""
        with failing_when_a_submit_cannot_help():
            arguments, controls = self._arguments(), self._controls()
            request_id = self._submit(arguments, controls)
        self.log.info("Submitted to %s: request %s", self.endpoint, request_id)
        return request_id

    def _submit(self, arguments: Mapping[str, Any], controls: SubmitControls) -> str:
        try:
            return PikaHook(self.pika_conn_id).submit(self.endpoint, arguments, controls)
        except AirflowTaskTimeout as error:  # execution_timeout, which Airflow would retry
            raise SubmitUnknown(f"The submit to {self.endpoint} was cut off: {error}.") from None

    def _check_what_is_known(self) -> None:
        from airflow_provider_pika.fal.models import SubmitControls, TextToVideoInput

        TextToVideoInput.check_known(known_now(self._fields(TextToVideoInput)))
        SubmitControls.check_known(known_now(self._fields(SubmitControls)))
        if known_now({"extra_arguments": self.extra_arguments}):
            self._check_extra_arguments()
        check_known_endpoint(self.endpoint)

    def _arguments(self) -> dict[str, Any]:
        from airflow_provider_pika.fal.models import TextToVideoInput

        arguments = TextToVideoInput.checked(self._fields(TextToVideoInput)).arguments()
        self._check_extra_arguments()
        if not _is_json(self.extra_arguments or {}):
            raise InvalidInput(f"extra_arguments={self.extra_arguments!r} is not allowed: it takes JSON values.")
        return arguments | dict(cast(Mapping[str, Any], self.extra_arguments or {}))

    def _check_extra_arguments(self) -> None:
        from airflow_provider_pika.fal.models import TextToVideoInput

        extra = self.extra_arguments or {}
        if not isinstance(extra, Mapping) or TextToVideoInput.model_fields.keys() & extra.keys():
            raise InvalidInput(
                f"extra_arguments={extra!r} is not allowed: it takes a dict of inputs that the operator has no "
                "parameter for."
            )

    def _controls(self) -> SubmitControls:
        from airflow_provider_pika.fal.models import SubmitControls

        return SubmitControls.checked(self._fields(SubmitControls))

    def _fields(self, model: Any) -> dict[str, Any]:
        return {name: getattr(self, name) for name in model.model_fields}


def _is_json(value: Any) -> bool:
    try:
        json.dumps(dict(value), allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
