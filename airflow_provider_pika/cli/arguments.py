"""The commands and what they take, as data: both argparse and Airflow's own command line are made of it.

Airflow imports this whenever ``airflow`` is called, so it is plain Python.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_pika.fal import SPENT_BY, TEXT_TO_VIDEO
from airflow_provider_pika.hooks import DEFAULT_CONNECTION

#: How the command is called where Airflow takes no commands of providers.
PROGRAM = "python -m airflow_provider_pika"

#: What the exit codes mean.
EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 wrong usage (nothing was sent), 130 interrupted."


@dataclass(frozen=True)
class Argument:
    """An argument of a command.

    :param options: as ``ArgumentParser.add_argument`` takes them.
    """

    flags: tuple[str, ...]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Command:
    """A command.

    :param help: one sentence.
    :param more: what else there is to know before the first call.
    :param example: what follows the program's name.
    :param takes_all: hands everything over, options too.
    """

    name: str
    help: str
    more: str
    example: str
    arguments: tuple[Argument, ...] = field(default=())
    takes_all: bool = False

    @property
    def description(self) -> str:
        """Return the text above the options."""
        return f"{self.help} {self.more}".strip()

    def epilog(self, program: str) -> str:
        """Return the text below the options."""
        return f"Example: {program} {self.name} {self.example}".strip() + f". {EXIT_CODES}"


def _argument(*flags: str, help: str, **options: Any) -> Argument:
    return Argument(flags, {"help": help, **options})


#: What every command takes.
_CONNECTION = _argument(
    "--conn-id",
    default=DEFAULT_CONNECTION,
    help=f"The Airflow connection with the key; default: {DEFAULT_CONNECTION}, or FAL_KEY if there is no such one.",
)
#: What commands about one endpoint take.
_ENDPOINT = _argument("--endpoint", default=TEXT_TO_VIDEO, help=f"The endpoint; default: {TEXT_TO_VIDEO}.")
#: The form of the output.
_JSON = _argument("--json", action="store_true", help="Print JSON; money is a decimal text.")
#: The same for a spreadsheet.
_CSV = _argument("--csv", action="store_true", help="Print CSV, safe to open in a spreadsheet.")
#: A span of time.
_SINCE = _argument("--since", default="1d", help="A date or time (UTC), or an age: 2026-11-01, 12h, 7d; default: 1d.")
#: Its end.
_UNTIL = _argument("--until", help="A date or time (UTC), or an age; default: now.")
#: A request's ID.
_REQUEST_ID = _argument("request_id", help="The request ID, which the task's log and its XCom have.")
#: Where a clip is saved.
_SAVE = _argument("--save", metavar="PATH", help="Save the clip there: a file, or a URL such as s3://bucket/clip.mp4.")
#: Whether it may replace another.
_OVERWRITE = _argument("--overwrite", action="store_true", help="Replace a file of another request at PATH.")
#: What a clip is asked for with.
_CLIP = (
    _argument("prompt", nargs="?", help="What the clip is to show."),
    _argument("--inputs", metavar="FILE", help="A JSON file with the endpoint's inputs, instead of a prompt."),
    _argument("--resolution", help="480p, 720p or 1080p; default: 720p."),
    _argument("--duration", help="5 or 10 seconds; default: 5."),
    _argument("--negative-prompt", help="What the clip is not to show."),
    _argument("--seed", help="An integer: the same seed and prompt bring much the same clip."),
)

#: All commands, in the order of the help.
COMMANDS = (
    Command(
        "spend",
        "Show what was spent: by day, Dag, task or endpoint.",
        "It reads fal's billing events, which needs a key with the ADMIN right. With another key it estimates from "
        "fal's request history.",
        "--since 7d --by dag",
        (
            _SINCE,
            _UNTIL,
            _argument("--by", choices=SPENT_BY, default="day", help="What to group by; default: day (UTC)."),
            _argument(
                "--endpoint",
                action="append",
                help=f"Only this endpoint; repeatable. The history is read for {TEXT_TO_VIDEO} by default.",
            ),
            _argument(
                "--known-dags",
                metavar="LIST",
                help="Your Dags, with commas between them, or a file with one in each line: others are listed.",
            ),
            _JSON,
            _CSV,
        ),
    ),
    Command(
        "requests",
        "List requests that run or have ended lately, newest first.",
        "fal's history does not have requests that still wait in the queue.",
        "--since 12h",
        (_ENDPOINT, _SINCE, _UNTIL, _JSON, _CSV),
    ),
    Command(
        "status",
        "Show where a request stands, with the end of fal's log.",
        "",
        "019e1951-c778-7120-9c82-16efcf40ec82",
        (_REQUEST_ID, _ENDPOINT, _JSON),
    ),
    Command(
        "result",
        "Show the clip of a request that has ended, and what it cost.",
        "With --save it is downloaded, verified and saved with its metadata file, as the saving operator does it.",
        "019e1951-c778-7120-9c82-16efcf40ec82 --save fox.mp4",
        (_REQUEST_ID, _ENDPOINT, _SAVE, _OVERWRITE, _JSON),
    ),
    Command(
        "cancel",
        "Cancel a request.",
        "A request that runs may complete all the same, and may be charged.",
        "019e1951-c778-7120-9c82-16efcf40ec82",
        (_REQUEST_ID, _ENDPOINT, _JSON),
    ),
    Command(
        "estimate",
        "Show what clips will cost, as far as it is known. Nothing is submitted.",
        "The file of --inputs has one object of inputs, or a list of them and of prompts.",
        '"A red fox in the snow" --duration 10',
        (*_CLIP, _ENDPOINT, _JSON),
    ),
    Command(
        "generate",
        "Generate one clip, which costs money, and wait for it.",
        "It submits once. If you stop it, the request goes on at fal, and you are told how to get or cancel it.",
        '"A red fox in the snow" --save fox.mp4',
        (
            *_CLIP,
            _ENDPOINT,
            _SAVE,
            _OVERWRITE,
            _argument("--timeout", type=float, default=3600.0, help="Seconds to wait for the clip; default: 3600."),
            _JSON,
        ),
    ),
    Command(
        "emulator",
        "Run the local fal queue, which costs nothing.",
        "Everything after the word goes to python -m airflow_provider_pika.emulator; --help lists its options.",
        "--port 8188",
        takes_all=True,
    ),
)


def named(name: str) -> Command:
    """Return a command."""
    return next(command for command in COMMANDS if command.name == name)


def arguments_of(command: Command) -> tuple[Argument, ...]:
    """Return all that a command takes, with what every one takes."""
    return command.arguments if command.takes_all else (*command.arguments, _CONNECTION)


def take_all(parser: argparse.ArgumentParser) -> None:
    """Have a command's parser take all that follows it, options too, as ``rest``; argparse knows no such thing."""

    def parse_known_args(args: list[str], namespace: Any = None) -> tuple[argparse.Namespace, list[str]]:
        namespace = namespace or argparse.Namespace()
        for name, value in parser._defaults.items():
            setattr(namespace, name, value)
        namespace.rest = list(args)
        return namespace, []

    replace: Callable[[str, Any], None] = parser.__dict__.__setitem__
    replace("parse_known_args", parse_known_args)


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m airflow_provider_pika``; ``command`` has the command's name."""
    whole = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Ask fal about Pika clips, and generate one, with the key of an Airflow connection.",
        epilog=f"Each command has its own --help, with an example. {EXIT_CODES}",
    )
    commands = whole.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        one = commands.add_parser(
            command.name, help=command.help, description=command.description, epilog=command.epilog(PROGRAM)
        )
        one.set_defaults(command=command.name)
        for argument in arguments_of(command):
            one.add_argument(*argument.flags, **argument.options)
        if command.takes_all:
            take_all(one)
    return whole
