"""What Airflow discovers. Imports nothing: an exception in here breaks every provider of the installation."""

from __future__ import annotations

from typing import Any

#: Which standard fields the connection form shows, and what they are called.
CONNECTION_FORM: dict[str, Any] = {
    "hidden-fields": ["schema", "login", "port", "extra"],
    "relabeling": {"host": "Queue URL", "password": "fal API key"},
    "placeholders": {
        "host": "empty: fal itself, https://queue.fal.run; or a gateway, or the emulator",
        "password": "key id:key secret; empty: FAL_KEY where the task runs",
    },
}

#: The form's own fields; they land in the connection's extra.
CONNECTION_FIELDS: dict[str, Any] = {
    "http_timeout": {
        "label": "HTTP timeout",
        "description": "Seconds that one call to the queue may take; empty: 60. "
        "How long a video may take is the sensor's timeout, not this.",
        "schema": {"type": ["integer", "null"], "minimum": 1, "maximum": 120},
    },
    "media_hosts": {
        "label": "Media hosts",
        "description": "Hosts besides fal's and the queue's that videos may be fetched from, with commas between them: "
        "media.example.com, *.cdn.example.com, media.internal:8443. If their addresses are private, name the network, "
        "too: 10.20.0.0/16.",
        "schema": {"type": ["string", "null"]},
    },
    "tags": {
        "label": "Tags",
        "description": "Whether each submit tells fal its Dag, task and run (true or false; empty: true), so that "
        "fal's reports split what was spent by them.",
        "schema": {"type": ["string", "null"], "enum": ["true", "false", None]},
    },
    "prices": {
        "label": "Prices",
        "description": "Your own prices as JSON, by endpoint. They count before fal's: "
        '{"fal-ai/pika/v2.5/text-to-video": {"unit": "videos", "price": "0.30", "currency": "USD"}}',
        "schema": {"type": ["string", "null"]},
    },
}

#: What one task may send, in the section ``[pika]`` of Airflow's configuration; all of it is paid for.
LIMITS: dict[str, Any] = {
    "max_prompt_length": {
        "description": "Characters that a prompt, or a negative prompt, may have. A longer one is refused before it is "
        "sent: most likely, a template has rendered a whole file.",
        "version_added": "0.1.0",
        "type": "integer",
        "example": "50000",
        "default": "10000",
    },
    "max_batch_size": {
        "description": "Inputs that one batch may have. A longer list is refused before anything is sent.",
        "version_added": "0.1.0",
        "type": "integer",
        "example": "100000",
        "default": "20000",
    },
}

#: What the pages that show clips may show, in the same section.
PAGES: dict[str, Any] = {
    "show_clips": {
        "description": "Whether Airflow's UI has pages that show clips: Clips in the navigation, a tab of each task "
        "instance, and links on the tasks.",
        "version_added": "0.1.0",
        "type": "boolean",
        "example": "False",
        "default": "True",
    },
    "clip_roots": {
        "description": "Folders and buckets whose clips the API server may show, with commas or line ends between "
        "them. A bucket's URL names the connection that the saving task uses, if it names one. Empty: no clip is "
        "played, and no picture is shown.",
        "version_added": "0.1.0",
        "type": "string",
        "example": "s3://my_conn@clips/videos, /data/clips",
        "default": "",
    },
}


def get_provider_info() -> dict[str, Any]:
    """Describe this provider to Airflow, in the form of ``airflow/provider_info.schema.json``.

    The connection form stands here for Airflow 3.2 and newer, whose UI never imports a hook, and once more in
    ``PikaHook``'s class methods for Airflow 3.1, which reads only those (airflow-facts.md, section 1).
    """
    integration = "Pika"
    return {
        "package-name": "airflow-provider-pika",
        "name": "Pika",
        "description": "Pika text-to-video, on fal's queue: submit once, wait without a worker, keep the clip.",
        "integrations": [
            {
                "integration-name": integration,
                "external-doc-url": "https://fal.ai/models/fal-ai/pika/v2.5/text-to-video",
                "tags": ["service"],
            }
        ],
        "operators": [
            {
                "integration-name": integration,
                "python-modules": [
                    "airflow_provider_pika.operators.pika",
                    "airflow_provider_pika.operators.batch",
                    "airflow_provider_pika.operators.cancel",
                    "airflow_provider_pika.operators.review",
                ],
            }
        ],
        "sensors": [{"integration-name": integration, "python-modules": ["airflow_provider_pika.sensors.pika"]}],
        "hooks": [{"integration-name": integration, "python-modules": ["airflow_provider_pika.hooks.pika"]}],
        "triggers": [
            {
                "integration-name": integration,
                "python-modules": ["airflow_provider_pika.triggers.pika", "airflow_provider_pika.triggers.batch"],
            }
        ],
        "task-decorators": [
            {
                "name": "pika_text_to_video",
                "class-name": "airflow_provider_pika.decorators.pika.pika_text_to_video_task",
            }
        ],
        "transfers": [
            {
                "source-integration-name": integration,
                "target-integration-name": "Common IO",
                "python-module": "airflow_provider_pika.transfers.video_to_object_storage",
            },
            {
                "source-integration-name": integration,
                "target-integration-name": "Common IO",
                "python-module": "airflow_provider_pika.transfers.batch_to_object_storage",
            },
        ],
        "connection-types": [
            {
                "connection-type": "pika",
                "hook-class-name": "airflow_provider_pika.hooks.pika.PikaHook",
                "hook-name": "Pika (fal)",
                "ui-field-behaviour": CONNECTION_FORM,
                "conn-fields": CONNECTION_FIELDS,
            }
        ],
        "cli": ["airflow_provider_pika.cli.definition.get_pika_cli_commands"],  # 3.1 does not know it
        "plugins": [{"name": "pika", "plugin-class": "airflow_provider_pika.plugins.pika.PikaPlugin"}],
        "config": {"pika": {"description": "Limits and pages of the Pika provider.", "options": {**LIMITS, **PAGES}}},
    }
