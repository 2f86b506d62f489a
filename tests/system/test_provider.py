"""What Airflow's command line knows of the provider."""

from __future__ import annotations

import json
import subprocess

import pytest

from dev.airflow_home import AirflowHome
from tests.support.running_airflow import RunningAirflow


def run(home: AirflowHome, *command: str) -> str:
    done = subprocess.run(
        ["airflow", *command], env=home.environment, cwd=home.folder, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.newest
def test_airflow_lists_the_provider(airflow: RunningAirflow) -> None:
    listed = json.loads(run(airflow.home, "providers", "list", "--output", "json"))
    [ours] = [provider for provider in listed if provider["package_name"] == "airflow-provider-pika"]
    assert "Pika text-to-video" in ours["description"]
    assert ours["version"] == "0.1.0"


@pytest.mark.newest
def test_airflow_lists_the_hook(airflow: RunningAirflow) -> None:
    listed = json.loads(run(airflow.home, "providers", "hooks", "--output", "json"))
    [ours] = [hook for hook in listed if hook["connection_type"] == "pika"]
    assert ours["class"] == "airflow_provider_pika.hooks.pika.PikaHook"
    assert ours["conn_id_attribute_name"] == "pika_conn_id"


def test_airflow_gets_the_provider_with_all_its_parts(airflow: RunningAirflow) -> None:
    full = run(airflow.home, "providers", "get", "airflow-provider-pika", "--full", "--output", "json")
    assert "airflow_provider_pika.triggers.pika" in full
