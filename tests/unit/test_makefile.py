"""What is typed after `make demo` reaches the program as it was typed, and nothing in it runs; what it installs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: It stands for Python: it writes down what it was given.
PROGRAM = r"""#!/bin/sh
printf '%s\0' "$@" > arguments
env -0 > environment
"""

#: It stands for Python and for dev/install: it tells what it was asked for, and makes the environment.
SETTING_UP = """#!/bin/sh
echo "$(basename "$0")" "$@" >> asked
if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; fi
"""

TYPED = {
    "everything": 'a $5 fox $(whoami) "quoted" `x` # % \\ $$ ünï \n',
    "a function of make": "$(shell touch ran)",
    "a function in braces": "${shell touch ran}",
    "functions of make that stop it": "$(error no) $(eval all:;touch ran) $(file >ran)",
    "a variable of make": "$(PROMPT) $(value PROMPT) $@ $< $PROMPT",
    "a function that is not closed": "it costs $(5, or ${5",
    "dollars": "$ $$ $$$ $",
    "a shell's own": "; touch ran & `touch ran` | $(touch ran) > ran",
    "quotes": "it's a \"fox\" and a 'hare'",
    "an option": "--version",
    "a short option": "-n",
    "assignments": "= := ::= != += ?= a=b PROMPT=c",
    "a comment": "# not a comment \\# nor this",
    "backslashes": "\\ \\\\ \\n \\",
    "lines": "one\n\ttwo\\\nthree\n",
    "a recipe's prefix": "@-+!ls",
    "blanks at the end": "a fox   \t",
    "other scripts": "ünï 狐 🦊 \u202e",
    "nothing that prints": "\x01\x1b[31m\x7f",
    "a long text": "a red fox, " * 5000,
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The real Makefile, in a place that is set up; its Python writes down what it was given."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "dev/constraints/airflow-3.3.2.txt", ".venv/bin/python", ".venv/.demo"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(PROGRAM if name.endswith("python") else "")
        file.chmod(0o755)
    return tmp_path


def outside(**environment: str) -> dict[str, str]:
    """Return a person's environment, whatever runs this test."""
    ours = {"AIRFLOW", "PROMPT", "FAL_KEY", "PORT", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"}
    return {name: value for name, value in os.environ.items() if name not in ours} | environment


def make(tree: Path, *arguments: str, **environment: str) -> dict[str, str]:
    """Run make as a person does; return the environment that the program saw."""
    done = subprocess.run(
        ["make", *arguments], cwd=tree, env=outside(**environment), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    command = next(name for name in ("standalone", "clips", "demo") if name in (*arguments, "demo"))
    assert (tree / "arguments").read_text() == f"-m\0dev.{command}\0"
    assert not (tree / "ran").exists()
    variables = os.fsdecode((tree / "environment").read_bytes()).split("\0")
    return dict(variable.split("=", 1) for variable in variables if variable)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The real Makefile in a fresh clone, with programs that only tell what they were asked for."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "dev/constraints/airflow-3.3.2.txt", "dev/install", "python3"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(SETTING_UP)
        file.chmod(0o755)
    return tmp_path


def asked(tree: Path, *targets: str, **environment: str) -> tuple[list[str], list[str]]:
    """Return what making something runs, and the lines that a person sees."""
    (tree / "asked").write_text("")
    seen = outside(PYTHON=str(tree / "python3"), **environment)
    done = subprocess.run(["make", *targets], cwd=tree, env=seen, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return (tree / "asked").read_text().splitlines(), done.stdout.splitlines()


VENV = "python3 -m venv .venv"
FOR_THE_DEMO = "install .venv dev/constraints/airflow-3.3.2.txt -e .[emulator]"
FOR_THE_TESTS = "install .venv dev/constraints/airflow-3.3.2.txt --group dev pip"


@pytest.mark.parametrize("command", ["demo", "clips", "standalone"])
def test_the_first_demo_installs_only_what_it_needs_and_says_what_it_does(bare: Path, command: str) -> None:
    ran, told = asked(bare, command)
    assert ran == [VENV, FOR_THE_DEMO, f"python -m dev.{command}"]
    assert len(told) == 2
    assert all("seconds" in line for line in told)
    assert asked(bare, command) == ([f"python -m dev.{command}"], [])


def test_the_tests_add_to_what_the_demo_installed(bare: Path) -> None:
    asked(bare, "demo")
    assert asked(bare, "setup")[0] == [FOR_THE_TESTS]
    assert asked(bare, "setup", "demo")[0] == ["python -m dev.demo"]


PYTHONS = {
    "there is one": SETTING_UP,
    "it does not run": "#!/bin/sh\necho pyenv: python3.13: command not found >&2; exit 127\n",
}


@pytest.mark.parametrize("which", [*PYTHONS, "there is none"])
def test_another_python_is_tested_where_it_runs_and_else_one_line_says_so(bare: Path, which: str) -> None:
    programs = bare / "bin"
    programs.mkdir()
    for name in ("make", "sh", "mkdir", "cp", "basename", "touch"):
        (programs / name).symlink_to(str(shutil.which(name)))
    if which in PYTHONS:
        (programs / "python3.13").write_text(PYTHONS[which])
        (programs / "python3.13").chmod(0o755)
    ran, told = asked(bare, "unit-3.13", PATH=str(programs))
    if which == "there is one":
        assert "python3.13 -m venv .venv-py3.13" in ran
        assert any(line.startswith("python -m pytest -q tests/unit ") for line in ran)
    else:
        assert ran == []
        assert told == ["There is no python3.13 here, so the unit tests were not run on it."]


def test_the_first_setup_installs_both(bare: Path) -> None:
    assert asked(bare, "setup")[0] == [VENV, FOR_THE_DEMO, FOR_THE_TESTS]


@pytest.mark.parametrize("typed", TYPED.values(), ids=TYPED)
def test_a_prompt_on_the_command_line_arrives_as_it_was_typed(tree: Path, typed: str) -> None:
    assert make(tree, "demo", f"PROMPT={typed}")["PROMPT"] == typed


@pytest.mark.parametrize("typed", TYPED.values(), ids=TYPED)
def test_a_prompt_from_the_environment_arrives_as_it_was_set(tree: Path, typed: str) -> None:
    assert make(tree, "demo", PROMPT=typed)["PROMPT"] == typed


def test_blanks_at_the_start_arrive_from_the_environment(tree: Path) -> None:
    assert make(tree, "demo", PROMPT=" \n\ta fox")["PROMPT"] == " \n\ta fox"


def test_the_command_line_wins_over_the_environment(tree: Path) -> None:
    assert make(tree, "demo", "PROMPT=a $fox", PROMPT="a $hare")["PROMPT"] == "a $fox"


@pytest.mark.parametrize("typed", [TYPED["everything"], TYPED["dollars"], TYPED["lines"]])
def test_a_prompt_arrives_through_a_makefile_that_calls_this_one(tree: Path, typed: str) -> None:
    (tree / "outer.mk").write_text("demo:\n\t@$(MAKE) -s -f Makefile demo\n")
    assert make(tree, "-s", "-f", "outer.mk", "demo", f"PROMPT={typed}")["PROMPT"] == typed


def test_no_prompt_is_no_prompt(tree: Path) -> None:
    assert "PROMPT" not in make(tree, "demo")
    assert not make(tree, "demo", "PROMPT=").get("PROMPT")


@pytest.mark.parametrize(("command", "name"), [("demo", "FAL_KEY"), ("standalone", "PORT"), ("clips", "PORT")])
def test_the_other_values_that_a_person_types_are_not_expanded_either(tree: Path, command: str, name: str) -> None:
    typed = "id:$se$(shell touch ran)cret"
    assert make(tree, command, f"{name}={typed}")[name] == typed
    assert make(tree, command, **{name: typed})[name] == typed
    assert name not in make(tree, command)
