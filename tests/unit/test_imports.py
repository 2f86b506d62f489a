"""What the process of a task imports of others' code: each attempt has a new one, and each deferral one more."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

CODE = """
import sys
from airflow.sdk import Connection
from airflow_provider_pika.hooks.connection import account_of
from airflow_provider_pika.saving.object_store import Place

for key in ({"password": "id:secret"}, {"login": "id:secret"}, {"login": "id", "password": "secret"}):
    assert account_of(Connection(conn_id="pika", conn_type="pika", **key), {}).authorization == "Key id:secret"
for path in ("/nowhere/fox.mp4", "file:///nowhere/fox.mp4", "local:///nowhere/fox.mp4"):
    assert Place(path).size() is None
assert Place("/nowhere/fox.mp4", conn_id="clips").size() is None
print(*{"fal_client", "boto3"} & sys.modules.keys())
"""


def test_a_key_in_the_connection_and_a_path_on_a_disk_need_neither_fal_client_nor_a_providers_storage() -> None:
    assert all(map(importlib.util.find_spec, ("fal_client", "boto3")))
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].strip() == ""
