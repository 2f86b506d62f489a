"""What a command goes by: the connection, and a prompt with options or a file of inputs."""

from __future__ import annotations

import json
import logging
from argparse import Namespace
from pathlib import Path
from typing import Any

from airflow_provider_pika.cli.errors import UsageError
from airflow_provider_pika.hooks.pika import PikaHook

#: Bytes of a file of inputs: an input may hold a picture as text.
_MOST_BYTES = 64 << 20

#: The options that are inputs of an endpoint, too.
_OPTIONS = ("resolution", "duration", "negative_prompt", "seed")


class QuietHook(PikaHook):
    """A hook without log lines: outside of a task, Airflow writes them to stdout, which has results only."""

    log = logging.getLogger(__name__)  # type: ignore[assignment]


def inputs_of(args: Namespace) -> Any:
    """Return the inputs that the arguments name, unchecked: a dict, or what the file of ``--inputs`` holds.

    :raises UsageError: there are none, or they are said twice.
    """
    options = {name: value for name in _OPTIONS if (value := getattr(args, name)) is not None}
    if args.inputs is None:
        if args.prompt is None:
            raise UsageError('Name a prompt in quotes, such as "A red fox in the snow", or a file with --inputs.')
        return {"prompt": args.prompt, **options}
    if args.prompt is not None or options:
        raise UsageError("A file of --inputs has all inputs: leave out the prompt and its options.")
    return _read(Path(args.inputs))


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    if len(content) > _MOST_BYTES:
        raise UsageError(f"{path} has more than {_MOST_BYTES} bytes.")
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise UsageError(f"{path} is not JSON.") from None
