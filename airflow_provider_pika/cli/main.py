"""From the command line to an exit code: errors become one line, and never a traceback."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from airflow_provider_pika.cli.arguments import parser
from airflow_provider_pika.cli.errors import FAILED, USAGE, code_of, said
from airflow_provider_pika.cli.output import tell

#: Says which connections this process may read: Airflow's database has some, as for ``airflow`` itself.
_CONTEXT = "_AIRFLOW_PROCESS_CONTEXT"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return the exit code."""
    try:
        args = parser().parse_args(arguments)
    except SystemExit as error:  # argparse has said why
        return error.code if isinstance(error.code, int) else USAGE
    return run(args.command, args)


def run(name: str, args: argparse.Namespace) -> int:
    """Run a command with its parsed arguments, and return the exit code."""
    try:
        return _run(name, args)
    except BrokenPipeError:  # whoever reads has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (Exception, KeyboardInterrupt) as error:
        tell(f"pika: {said(error)}")
        return code_of(error)


def _run(name: str, args: argparse.Namespace) -> int:
    if name == "emulator":
        from airflow_provider_pika.emulator.__main__ import main as emulate

        try:
            return emulate(args.rest)
        except SystemExit as error:  # its --help, or a wrong option, of which it has said all
            return error.code if isinstance(error.code, int) else USAGE
    with _reading_airflows_connections(), _without_log_lines():
        from airflow_provider_pika.cli import commands

        warnings.simplefilter("ignore")  # Airflow's import has filters of its own
        return commands.BY_NAME[name](args)


@contextmanager
def _reading_airflows_connections() -> Iterator[None]:
    before = os.environ.get(_CONTEXT)
    os.environ.setdefault(_CONTEXT, "server")
    try:
        yield
    finally:
        if before is None:
            del os.environ[_CONTEXT]


@contextmanager
def _without_log_lines() -> Iterator[None]:
    """Keep log lines and warnings away: some go to stdout, which has results only. What matters is told by us."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        logging.disable(before)
