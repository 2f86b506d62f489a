from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow import __version__
from packaging.version import Version

from airflow_provider_pika import exceptions as errors

if Version(__version__) < Version("3.3"):

    def test_without_retry_policies_the_import_says_which_airflow_has_them() -> None:
        with pytest.raises(ImportError, match=r"needs Airflow 3\.3"):
            import airflow_provider_pika.retry_policy  # noqa: F401

else:
    from airflow.sdk import RetryAction

    from airflow_provider_pika.retry_policy import PikaRetryPolicy

    def decide(error: BaseException) -> Any:
        return PikaRetryPolicy().evaluate(error, try_number=1, max_tries=3)

    def test_what_a_retry_can_help_is_retried_after_the_tasks_own_delay() -> None:
        decision = decide(errors.ServerUnavailable("busy"))
        assert (decision.action, decision.retry_delay) == (RetryAction.RETRY, None)
        assert "busy" in decision.reason

    @pytest.mark.parametrize(("asked", "delay"), [(90.0, 90), (0.0, 0), (1e12, 3600)])
    def test_fals_retry_after_is_the_delay_up_to_an_hour(asked: float, delay: int) -> None:
        decision = decide(errors.RateLimited("slowly", retry_after=asked))
        assert (decision.action, decision.retry_delay) == (RetryAction.RETRY, timedelta(seconds=delay))

    @pytest.mark.parametrize("kind", [errors.ContentPolicyViolation, errors.SubmitUnknown, errors.InvalidKey])
    def test_what_no_retry_can_help_fails_at_once(kind: type[errors.PikaError]) -> None:
        decision = decide(kind("no"))
        assert decision.action is RetryAction.FAIL
        assert kind.advice in decision.reason

    def test_what_is_not_ours_is_left_to_airflow() -> None:
        assert decide(ConnectionError("no api-server")).action is RetryAction.DEFAULT
