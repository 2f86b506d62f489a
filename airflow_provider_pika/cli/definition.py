"""The same commands as ``airflow pika ...``, for Airflow 3.2 and newer, which takes commands of providers."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_pika.cli.arguments import COMMANDS, Command, arguments_of, take_all

if TYPE_CHECKING:
    import argparse

    from airflow.cli.cli_config import CLICommand


def get_pika_cli_commands() -> list[CLICommand]:
    """Return the commands. Never raises: an error in here would stand above the output of every ``airflow`` command."""
    try:
        return _commands()
    except Exception as error:  # another Airflow may declare them in another way
        logging.getLogger(__name__).debug("There is no 'airflow pika' here: %s", type(error).__name__)
        return []


def _commands() -> list[CLICommand]:
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    class Rest(Arg):
        """Takes all that follows, options too."""

        def add_to_parser(self, parser: argparse.ArgumentParser) -> None:
            take_all(parser)

    def args_of(command: Command) -> tuple[Any, ...]:
        if command.takes_all:
            return (Rest(flags=("rest",)),)  # type: ignore[no-untyped-call]
        return tuple(Arg(argument.flags, **argument.options) for argument in arguments_of(command))

    commands = [
        ActionCommand(
            name=command.name,
            help=command.help,
            description=command.description,
            epilog=command.epilog("airflow pika"),
            func=_runner(command.name),
            args=args_of(command),
        )
        for command in COMMANDS
    ]
    return [GroupCommand(name="pika", help="Ask fal about Pika clips, and generate one", subcommands=commands)]


def _runner(name: str) -> Callable[[argparse.Namespace], None]:
    return partial(_run, name)


def _run(name: str, args: argparse.Namespace) -> None:
    from airflow_provider_pika.cli.main import run

    sys.exit(run(name, args))
