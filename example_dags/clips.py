"""What the examples share: their folder, and one call that generates a clip, waits for it, and saves it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from airflow.sdk import Param, task_group

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator

#: Where the examples put their files, unless the run says otherwise; "s3://bucket/clips" does as well.
FOLDER = Param(str(Path(tempfile.gettempdir()) / "pika-videos"), type="string", description="Where the MP4 files go")


@task_group
def saved_clip(prompt, path, resolution, outlets):
    """Generate, wait, save: from a prompt to a file, in one call; it gives what is known of the file."""
    generate = PikaTextToVideoOperator(task_id="generate", prompt=prompt, resolution=resolution)
    video = PikaVideoSensor(task_id="video", request_id=generate.output, timeout=30 * 60)
    save = PikaVideoToObjectStorageOperator(
        task_id="save",
        video=video.output,
        path=path,
        overwrite=True,  # a path by date and product has one clip: the last that somebody asked for
        outlets=outlets,
        retries=3,
    )
    return save.output
