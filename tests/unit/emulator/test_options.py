"""The command line's options: defaults, ranges, and one line for each mistake."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from airflow_provider_pika.emulator.engine.generation import Pace
from airflow_provider_pika.emulator.engine.prices import UnitPrice
from airflow_provider_pika.emulator.options import parse

V25 = "fal-ai/pika/v2.5/text-to-video"


def test_the_defaults_are_those_of_the_readme() -> None:
    options = parse([])
    assert (options.host, options.port, options.run_port, options.runners) == ("127.0.0.1", 8188, 8189, 2)
    assert (options.pace, options.keys, options.tls) == (Pace(3, 6), (), False)
    assert (options.allowed_hosts, options.webhooks_anywhere) == ((), False)
    assert (options.data, options.result_ttl, options.history_lag) == (Path.cwd() / ".fal-emulator", 3600, 0)
    assert options.payload_ttl == 30 * 24 * 3600
    assert (options.admin_keys, options.prices, options.books_lag) == ((), {}, 0)


def test_names_that_it_answers_to_are_added_one_by_one() -> None:
    given = [
        "--allow-host",
        "fal",
        "--allow-host",
        "Fal_2.Example.",
        "--allow-host",
        "::0:1",
        "--allow-host",
        "10.0.0.5",
    ]
    assert parse(given).allowed_hosts == ("fal", "fal_2.example", "::1", "10.0.0.5")


def test_it_renders_unless_told_not_to() -> None:
    assert [parse(given).render for given in ([], ["--render", "on"], ["--render", "off"])] == [True, True, False]


def test_more_runners_than_threads_are_possible_only_without_rendering() -> None:
    assert parse(["--runners", "64"]).runners == 64
    assert parse(["--runners", "5000", "--render", "off"]).runners == 5000


def test_an_account_has_its_own_prices_one_by_one() -> None:
    prices = parse(["--price", f"{V25}=videos:0.30", "--price", "fal-ai/pika/v2/pikaswaps=seconds:1"]).prices
    assert prices == {
        V25: UnitPrice("videos", Decimal("0.30")),
        "fal-ai/pika/v2/pikaswaps": UnitPrice("seconds", Decimal(1)),
    }


@pytest.mark.parametrize(("given", "pace"), [("3", Pace(3, 3)), ("2-6", Pace(2, 6)), ("0.2-0.5", Pace(0.2, 0.5))])
def test_a_generation_time_is_a_number_or_a_range(given: str, pace: Pace) -> None:
    assert parse(["--generation-time", given]).pace == pace


def test_an_ephemeral_queue_port_makes_an_ephemeral_run_port() -> None:
    assert parse(["--port", "0"]).run_port == 0
    assert parse(["--port", "9000"]).run_port == 9001
    assert parse(["--port", "9000", "--run-port", "0"]).run_port == 0


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--port", "70000"], "0 to 65535"),
        (["--port", "http"], "0 to 65535"),
        (["--runners", "0"], "1 to 64"),
        (["--runners", "65"], "--render off"),
        (["--runners", "10001", "--render", "off"], "up to 10000"),
        (["--render", "maybe"], "invalid choice: 'maybe'"),
        (["--generation-time", "6-2"], "shorter time first"),
        (["--generation-time", "soon"], "'soon' is not a time"),
        (["--generation-time", "nan"], "'nan' is not a time"),
        (["--generation-time=-1"], "'-1' is not a time"),
        (["--port", "65535"], "name one with --run-port"),
        (["--data", ""], "an empty name is no folder"),
        (["--key", " "], "leave --key out"),
        (["--admin-key", ""], "an empty key"),
        (["--price", V25], "use ENDPOINT=UNIT:USD"),
        (["--price", f"{V25}=videos:-1"], "use ENDPOINT=UNIT:USD"),
        (["--price", f"{V25}=videos:1e3"], "use ENDPOINT=UNIT:USD"),
        (["--price", f"{V25}=videos:0.0000000001"], "9 digits at most"),
        (["--price", f"{V25}=clips:1"], "use videos or seconds"),
        (["--price", "fal-ai/flux=videos:1"], "'fal-ai/flux' is not an endpoint"),
        (["--books-lag", "soon"], "0 or more"),
        (["--result-ttl", "-1"], "0 or more"),
        (["--allow-host", "http://fal"], "without scheme and port"),
        (["--allow-host", "fal:8188"], "without scheme and port"),
        (["--allow-host", "*"], "without scheme and port"),
        (["--allow-host", ""], "without scheme and port"),
        (["--colour", "red"], "--colour"),
    ],
)
def test_a_bad_option_is_one_line_that_says_what_to_do(
    capsys: pytest.CaptureFixture[str], arguments: list[str], hint: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(arguments)
    assert caught.value.code == 2
    complaint = capsys.readouterr().err
    assert hint in complaint
    assert complaint.count("\n") == 1
