"""The commands as data: argparse and Airflow make the same of them, cheaply."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from typing import Any

import pytest

from airflow_provider_pika.cli import definition
from airflow_provider_pika.cli.arguments import COMMANDS, Command, parser
from airflow_provider_pika.cli.main import main

A_COMMAND = pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)


@A_COMMAND
def test_each_commands_help_has_an_example_that_is_taken(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    parsed = parser().parse_args([command.name, *shlex.split(command.example)])
    assert parsed.command == command.name
    if not command.takes_all:
        assert main([command.name, "--help"]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert " ".join(f"Example: python -m airflow_provider_pika {command.name} {command.example}".split()) in said
        assert "Exit codes: 0 done, 1 failed, 2 wrong usage" in said


def test_the_emulator_gets_all_that_follows_even_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert parser().parse_args(["emulator", "--port", "0", "--help"]).rest == ["--port", "0", "--help"]
    assert main(["emulator", "--port", "x"]) == 2
    assert "is not a port" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["", "spent", "spend --by week", "status", "generate fox --timeout soon"])
def test_wrong_usage_is_2(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    assert "usage: python -m airflow_provider_pika" in capsys.readouterr().err


def test_airflow_gets_the_same_commands_with_the_same_arguments() -> None:
    [group] = definition.get_pika_cli_commands()
    assert group.name == "pika"
    made: Any = list(group.subcommands)  # type: ignore[union-attr]
    assert [each.name for each in made] == [command.name for command in COMMANDS]
    for action, command in zip(made, COMMANDS, strict=True):
        one = argparse.ArgumentParser()
        for arg in action.args:
            arg.add_to_parser(one)
        words = shlex.split(command.example)
        ours = vars(parser().parse_args([command.name, *words]))
        assert vars(one.parse_args(words)) == {name: value for name, value in ours.items() if name != "command"}
        assert f"airflow pika {command.name}" in action.epilog


def test_an_airflow_that_declares_commands_in_another_way_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.cli import cli_config

    monkeypatch.delattr(cli_config, "GroupCommand")
    assert definition.get_pika_cli_commands() == []


def test_what_airflow_imports_for_each_of_its_commands_is_plain_python() -> None:
    code = (
        "import sys; sys.modules['airflow'] = None\n"
        "from airflow_provider_pika.cli import definition, arguments\n"
        "assert definition.get_pika_cli_commands() == []; arguments.parser()\n"
        "print(sorted({'httpx', 'pydantic', 'pendulum', 'fal_client', 'fastapi'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
