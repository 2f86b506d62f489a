"""What Dags import, and what Airflow's database names: these paths stay, wherever the code behind them goes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from airflow_provider_pika import exceptions
from airflow_provider_pika.get_provider_info import get_provider_info
from tests.support.versions import KEEPS_TASK_STATE

PACKAGE = "airflow_provider_pika"

#: What is public, by its module. A name may be added, and none goes.
PUBLIC = {
    "get_provider_info": "get_provider_info",
    "hooks.pika": "PikaHook",
    "operators.pika": "PikaTextToVideoOperator",
    "operators.batch": "PikaTextToVideoBatchOperator read_manifest",
    "operators.cancel": "PikaCancelOperator",
    "operators.review": "PikaReviewOperator",
    "sensors.pika": "PikaVideoSensor",
    "triggers.pika": "PikaVideoTrigger",  # a deferred task's row in Airflow's database has this path
    "triggers.batch": "PikaBatchTrigger",
    "transfers.video_to_object_storage": "PikaVideoToObjectStorageOperator",
    "transfers.batch_to_object_storage": "PikaBatchToObjectStorageOperator",
    "decorators.pika": "pika_text_to_video_task",
    "plugins.pika": "PikaPlugin",
    "cli.definition": "get_pika_cli_commands",
    "retry_policy": "PikaRetryPolicy",
    "exceptions": """
        AccessDenied AnswerTooLarge BatchFailed BatchIncomplete ContentPolicyViolation CostLimitExceeded DoubtfulAnswer
        DownloadInterrupted DownloadRefused ExhaustedBalance ForeignAnswer GenerationCancelled GenerationFailed
        GenerationInterrupted InputRejected InvalidInput InvalidKey MissingConnection MissingKey OtherQueue
        PathInUse PathTaken PikaError RateLimited RecordUnavailable RecordUnreadable RequestRejected
        SavingFailed SavingIncomplete ServerUnavailable StartTimeout StorageFailed SubmitUnknown TryLater
        UnexpectedAnswer UnexpectedFile UnknownEndpoint UnknownRequest UnknownStatus Unreachable UntrustedUrl
        UnusableCertificates UnusableProxy VideoExpired VideoRejected VideoTooLarge WaitTimeout
    """,
}

PATHS = [(module, name) for module, names in PUBLIC.items() for name in names.split()]


@pytest.mark.parametrize(("module", "name"), PATHS, ids=lambda part: part)
def test_a_public_name_is_defined_where_it_is_imported_from(module: str, name: str) -> None:
    if module == "retry_policy" and not KEEPS_TASK_STATE:
        with pytest.raises(ImportError, match=r"Airflow 3\.3 or newer"):
            import_module(f"{PACKAGE}.{module}")
        return
    found = getattr(import_module(f"{PACKAGE}.{module}"), name)
    if isinstance(found, type):  # so that a pickle, a log and Airflow's database name it by this path, too
        assert (found.__module__, found.__name__) == (f"{PACKAGE}.{module}", name)


def named_in(value: Any) -> Iterator[str]:
    """Yield every path of this package that a provider's info names."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from named_in(each)
    elif isinstance(value, str) and value.startswith(f"{PACKAGE}."):
        yield value.removeprefix(f"{PACKAGE}.")


def test_what_airflow_is_told_of_is_public() -> None:
    named = set(named_in(get_provider_info()))
    assert "hooks.pika" in named
    assert named <= {*PUBLIC, *(f"{module}.{name}" for module, name in PATHS)}


def test_every_error_is_public() -> None:
    assert set(exceptions.__all__) == set(PUBLIC["exceptions"].split())


def test_the_emulator_is_a_module_to_run() -> None:
    command = [sys.executable, "-m", f"{PACKAGE}.emulator", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"-m {PACKAGE}.emulator" in done.stdout
