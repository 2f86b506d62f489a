"""What people read is held to the code, and to the limits of a page: README, the site's pages, CONTRIBUTING."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.cli import errors as cli_errors
from airflow_provider_pika.cli.arguments import COMMANDS
from airflow_provider_pika.emulator import options
from airflow_provider_pika.emulator.faults import catalogue
from airflow_provider_pika.fal import TEXT_TO_VIDEO, own_prices, responses
from airflow_provider_pika.fal.http_answer import Answer
from airflow_provider_pika.fal.models import Video
from airflow_provider_pika.fal.own_prices import own_prices_of
from airflow_provider_pika.fal.prices import UNITS, Cost
from airflow_provider_pika.fal.rate_card import AS_OF, RATE_CARD
from airflow_provider_pika.get_provider_info import CONNECTION_FIELDS, LIMITS
from airflow_provider_pika.get_provider_info import PAGES as SETTINGS_OF_PAGES
from airflow_provider_pika.links.pika import ClipLink, FileLink, RequestLink, ReviewLink
from airflow_provider_pika.task import metrics
from dev.pages import PAGES, README, ROOT, blocks, commands, dags, is_file, rows, section
from dev.readability import Page, sentences_of, words_of

DOCS = ROOT / "docs"

#: Lines of README, and of any other page; characters of a table's line, and of a cell.
LONGEST_README, LONGEST_PAGE, LONGEST_ROW, LONGEST_CELL = 150, 250, 160, 100

#: Commands that a test runs, as they stand there or with another port: tests/commands.
RUN = {
    "make demo",
    "pip install .",
    'pip install ".[emulator]"',
    'pip install ".[emulator,video]"',
    "python -m airflow_provider_pika.emulator",
    "airflow connections add pika_default --conn-type pika --conn-host http://127.0.0.1:8188 --conn-password any",
    'airflow connections add pika_default --conn-type pika --conn-password "$FAL_KEY"',
    "airflow connections delete pika_default",
    "airflow connections test pika_default",
    "airflow dags test first_clip",
}

#: Commands that no test runs as they stand there, and why.
NOT_RUN = {
    "make test": "runs this test",
    "make bench": ".ci/run runs it with small sizes",
    'airflow connections add pika_admin --conn-type pika --conn-password "$FAL_ADMIN_KEY"': (
        "system/test_cookbook.py makes the same connection through the API, with the emulator's address"
    ),
    'airflow connections add pika_report --conn-type generic --conn-password "$WEBHOOK_URL"': (
        "system/test_cookbook.py makes the same connection through the API"
    ),
    "python -m airflow_provider_pika spend --since 7d --by dag": "test_cli.py calls it with its own connection",
    ".venv/bin/python -m pytest -q tests/unit/fal/test_polling.py": "part of make test",
    "python -m airflow_provider_pika.emulator --tls --port 443 --run-port 0": "needs port 443; see test_fal_hosts.py",
    "echo '127.0.0.1 queue.fal.run fal.run api.fal.ai rest.fal.ai v3b.fal.media' | sudo tee -a /etc/hosts": (
        "changes the machine; test_fal_hosts.py resolves the names in the client"
    ),
    "SSL_CERT_FILE=.fal-emulator/ca.pem FAL_KEY=any python your.py": "a program of the reader's",
    "python -m airflow_provider_pika.emulator --runners 5000 --generation-time 30 --render off": (
        "test_load.py starts it with fewer runners"
    ),
    'curl -d \'{"fault": "http_503", "on": "status", "times": 2, "match": "cat"}\' '
    "-H 'Content-Type: application/json'      http://127.0.0.1:8188/_emulator/faults": "test_faults.py sends it",
}

#: Python that is no Dag, by its first line, and why no test runs it.
NO_DAGS: dict[str, str] = {"import os": "test_cookbook.py runs what from-fal-client.md replaces"}

#: Pages in which a sentence may be longer: none. CHANGELOG is no page of ours to read through.
A_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@A_PAGE
def test_a_page_is_short(page: Path) -> None:
    assert Page.of(page).lines <= (LONGEST_README if page == README else LONGEST_PAGE)


@A_PAGE
def test_a_table_is_narrow(page: Path) -> None:
    lines = [line for line in page.read_text().splitlines() if line.startswith("|")]
    assert [line for line in lines if len(line) > LONGEST_ROW] == []
    assert [cell for row in rows("\n".join(lines)) for cell in row if len(cell) > LONGEST_CELL] == []


@A_PAGE
def test_a_sentence_is_short(page: Path) -> None:
    assert Page.of(page).too_long == []


def test_sentences_and_words_are_counted_as_people_count_them() -> None:
    text = "# A title\n\nOne two `three four`. Five\n[six](seven.md)!\n\n- Eight: nine\n- Ten\n\n"
    text += "| a | b |\n|---|---|\n\n```sh\nx y\n```\n"
    assert [words_of(sentence) for sentence in sentences_of(text)] == [3, 2, 2, 1]


@A_PAGE
def test_a_page_opens_with_what_the_reader_gets(page: Path) -> None:
    if page.is_relative_to(DOCS) and page.name != "changelog.md" and "cookbook" not in page.parts:
        first, _, rest = page.read_text().partition("\n")
        assert first.startswith("# ")
        assert re.match(r"\n[A-Z`]", rest), "a paragraph stands below the title"


def slug(heading: str) -> str:
    """Return the anchor of a heading, as GitHub and MyST make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@A_PAGE
def test_every_link_leads_somewhere(page: Path) -> None:
    # `make docs` looks at the site's own; this looks at README's, and at what GitHub shows
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith("http"):
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            assert file.exists(), target
            if anchor:
                headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
                assert anchor in map(slug, headings), target


@A_PAGE
def test_every_command_is_run_by_a_test_or_says_why_not(page: Path) -> None:
    assert [command for command in commands(page.read_text()) if command not in {*RUN, *NOT_RUN}] == []


def test_no_command_is_listed_that_no_page_has() -> None:
    shown = {command for page in PAGES for command in commands(page.read_text())}
    assert {*RUN, *NOT_RUN} - shown == set()


def test_every_make_command_exists() -> None:
    spans = [span for page in PAGES for span in re.findall(r"`([^`\n]+)`", page.read_text())]
    shown = [*spans, *(command for page in PAGES for command in commands(page.read_text()))]
    lines = [line.split()[1:] for line in shown if line.startswith("make ")]
    named = {word for words in lines for word in words if re.fullmatch(r"[a-z][\w.-]*", word)}
    targets = re.findall(r"^([a-z0-9 .-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert named - set(" ".join(targets).split()) == set()
    assert {"demo", "standalone", "test", "docs", "bench", "chaos", "soak"} <= named


@A_PAGE
def test_every_snippet_is_python_and_a_dag_that_is_run(page: Path) -> None:
    known = dags().values()
    for snippet in blocks(page.read_text(), "python"):
        ast.parse(snippet)
        assert snippet in known or is_file(snippet) or snippet.splitlines()[0] in NO_DAGS


def test_the_first_snippet_is_as_short_as_it_says() -> None:
    text = README.read_text()
    assert "## Ten lines of Dag" in text
    assert len([line for line in blocks(text, "python")[0].splitlines() if line.strip()]) == 10


def test_readme_compares_in_six_rows_and_each_has_its_proof() -> None:
    compared = rows(section(README.read_text(), "What you get"))
    assert len(compared) == 6
    assert all(re.fullmatch(r"\[(test|measured)\]\([\w./#-]+\)", row[-1]) for row in compared)


def test_readme_repeats_what_was_measured() -> None:
    measured = {row[0]: row[2] for row in rows(section((DOCS / "scale.md").read_text(), "What a clip costs a worker"))}
    [held] = [row for row in rows(section(README.read_text(), "What you get")) if "holds a worker" in row[0]]
    assert held[1] == f"{measured['`@task` with `fal_client.subscribe`']} s"
    assert held[2] == f"{measured['`wait_for_completion=True`']} s"


def test_the_picture_is_small_and_loads_nothing() -> None:
    picture = (DOCS / "images" / "demo.svg").read_text()
    assert len(picture) < 150_000
    assert re.findall(r'href="(?!data:)', picture) == []
    assert "Submitted to fal-ai/pika" in picture


#: What Airflow does, in a cell, and whether a retry helps then.
VERDICTS = {"is retried": True, "polls on": True, "fails at once": False}

#: Errors that stand for several, which no task ends with.
BASES = {"PikaError", "TryLater", "GenerationFailed", "RequestRejected", "UnexpectedAnswer"}


def test_every_error_a_user_can_meet_is_in_a_table_with_what_airflow_does() -> None:
    text = (DOCS / "reference" / "errors.md").read_text()
    shown = {row[0].strip("`"): row[2] for row in rows(text) if len(row) == 3}
    assert set(shown) == set(errors.__all__) - BASES
    for name, verdict in shown.items():
        assert VERDICTS[verdict] is getattr(errors, name).retry_helps, name


def test_the_message_shown_is_the_real_one() -> None:
    flagged = "The content could not be processed because it contained material flagged by a content checker."
    detail = [{"loc": ["body", "prompt"], "msg": flagged, "type": "content_policy_violation"}]
    request_id = "019e1951-c778-7120-9c82-16efcf40ec82"
    answer = Answer.read(422, {}, json.dumps({"detail": detail}).encode())
    with pytest.raises(errors.ContentPolicyViolation) as refused:
        responses.result(answer, TEXT_TO_VIDEO, request_id)
    [shown] = blocks((DOCS / "reference" / "errors.md").read_text(), "text")
    assert " ".join(shown.split()) == str(refused.value)


def test_the_connections_fields_are_those_of_its_form() -> None:
    shown = [row[0] for row in rows(section((DOCS / "reference" / "connection.md").read_text(), "The fields"))]
    extras = [name for cell in shown for name in re.findall(r"extra `(\w+)`", cell)]
    assert extras == list(CONNECTION_FIELDS)
    assert [cell.split(" (")[0] for cell in shown[2:]] == [field["label"] for field in CONNECTION_FIELDS.values()]
    seconds = CONNECTION_FIELDS["http_timeout"]["schema"]
    described = (DOCS / "reference" / "connection.md").read_text()
    assert f"{seconds['minimum']} to {seconds['maximum']}, default 60" in described


def test_the_price_that_the_connections_page_shows_is_taken_and_its_keys_are_all_that_there_are() -> None:
    text = section((DOCS / "reference" / "connection.md").read_text(), "Prices")
    [shown] = map(json.loads, blocks(text, "json"))
    assert own_prices_of(shown["prices"]) == own_prices_of(json.dumps(shown)) != {}
    keys = {name for row in rows(text) for name in re.findall(r"^`(\w+)`", row[0])}
    assert keys == own_prices._ENTRY
    [unit] = [row[1] for row in rows(text) if row[0] == "`unit`"]
    assert set(re.findall(r"`(\w+)`", unit)) == set(UNITS)


def test_the_rate_card_is_the_page_s_line_by_line_with_its_evidence() -> None:
    text = section((DOCS / "money.md").read_text(), "The rate card")
    shown: dict[str, set[tuple[Any, ...]]] = {}
    for names, unit, price, evidence in rows(text):
        lines = set()
        for resolved in re.finditer(r"(\d\.\d+)(?: \((\d+p)\))?", price):
            length = re.match(r"(\d+) s: ", price)
            lines.add((unit, resolved[1], resolved[2], int(length[1]) if length else None, evidence))
        assert bool(lines) == (price != "unknown")
        for name in re.findall(r"`([^`]+)`", names):
            shown.setdefault(f"fal-ai/pika/{name}", set()).update(lines)
    words = {"DOC": "page", "3P": "report"}
    assert shown == {
        endpoint: {
            (each.unit, str(each.amount), each.resolution, each.seconds, words[each.evidence]) for each in known.lines
        }
        for endpoint, known in RATE_CARD.items()
    }
    assert f"gathered on {AS_OF}." in text


@pytest.mark.parametrize("page", ["reference/connection.md", "scale.md"])
def test_the_limits_of_airflows_configuration_are_the_real_ones(page: str) -> None:
    text = (DOCS / page).read_text()
    shown = {name: row for row in rows(text) for name in LIMITS if any(f"`{name}`" in cell for cell in row)}
    assert set(shown) == set(LIMITS)
    for name, row in shown.items():
        assert LIMITS[name]["default"] in [cell.replace(",", "") for cell in row]


def test_the_emulators_options_are_the_real_ones_with_their_defaults() -> None:
    shown = dict(row[:2] for row in rows(section((DOCS / "emulator.md").read_text(), "Options")))
    flat: dict[str, str] = {}
    for names, defaults in shown.items():
        named = re.findall(r"`(--[\w-]+)`", names)
        flat |= dict(zip(named, defaults.split(", ") if len(named) > 1 else [defaults], strict=True))
    real = {action.option_strings[-1]: action.default for action in options._parser()._actions if action.option_strings}
    del real["--help"]
    assert set(flat) == set(real)
    for name, default in real.items():
        if isinstance(default, float):
            assert flat[name] == f"`{default:.0f}`", name
        elif isinstance(default, str) or type(default) is int:
            assert flat[name] == f"`{default}`", name


def test_the_command_line_has_the_commands_and_exit_codes_of_its_page() -> None:
    text = (DOCS / "command-line.md").read_text()
    shown = [re.match(r"`(\w+)", row[0]) for row in rows(section(text, "The commands")) if row[0].startswith("`")]
    assert sorted(found[1] for found in shown if found) == sorted(command.name for command in COMMANDS)
    codes = [row for row in rows(text) if row[0].isdecimal()]
    assert [int(row[0]) for row in codes] == [cli_errors.DONE, cli_errors.FAILED, cli_errors.USAGE, 130]
    assert cli_errors.INTERRUPTED == 130


def test_the_emulators_faults_are_all_described_with_options_that_they_take() -> None:
    cells = "\n".join(row[0] for row in rows((DOCS / "emulator-faults.md").read_text()))
    kinds = get_args(catalogue.Fault.model_fields["fault"].annotation)
    known = {name for kind in kinds for name in get_args(kind)}
    assert set(re.findall(r"\[\[(\w+)", cells)) == known
    elsewhere = "\n".join(page.read_text() for page in PAGES)
    for name, given in re.findall(r"`\[\[(\w+)((?: \w+=[^\]\s]+)*)\]\]`", elsewhere):
        assert name in known
        assert set(re.findall(r"(\w+)=", given)) <= catalogue.OPTIONS.get(name, frozenset()) | {"times"}, name


def test_the_metrics_that_are_named_are_those_that_are_sent() -> None:
    video = Video(url="https://a/b.mp4", request_id="an-id", endpoint=TEXT_TO_VIDEO, inference_time=1.5)
    cost = Cost(Decimal("0.30"), "USD", "billed")
    sent = [
        *metrics.of_ending(TEXT_TO_VIDEO, video, cost),
        *metrics.of_ending(TEXT_TO_VIDEO, errors.ContentPolicyViolation("No.")),
        *metrics.of_queue(TEXT_TO_VIDEO, "2026-11-27T00:00:00Z", "2026-11-27T00:00:01Z"),
    ]
    table = rows(section((DOCS / "monitoring.md").read_text(), "The metrics"))
    shown = {
        row[0].strip("`"): (row[1].split(",")[0], re.findall(r"`(\w+)`", row[2])) for row in table if len(row) == 4
    }
    kinds = {each.name: "counter" if isinstance(each.value, int) else "timing" for each in sent}
    assert shown == {each.name: (kinds[each.name], list(each.tags)) for each in sent}
    values = {row[0].strip("`"): row[1] for row in table if len(row) == 2}
    assert values.keys() == {tag for each in sent for tag in each.tags}
    assert all(f"`{value}`" in values[tag] for each in sent for tag, value in each.tags.items())


def test_the_versions_named_are_those_that_are_tested() -> None:
    pinned = {path.stem.removeprefix("airflow-") for path in (ROOT / "dev" / "constraints").glob("*.txt")}
    table = rows(section((DOCS / "upgrading.md").read_text(), "Which Airflow gives what"))
    [cells] = [row[1:] for row in table if row[0] == "tested here"]
    assert pinned == set(re.findall(r"\d+\.\d+\.\d+", " ".join(cells)))
    [in_readme] = [row for row in rows(section(README.read_text(), "Install")) if row[0] == "Airflow"]
    assert pinned == set(re.findall(r"\d+\.\d+\.\d+", in_readme[2]))
    by_hand = {cell.split(":")[0] for cell in cells if cell.endswith("by hand, before a release")}
    in_each_run = {"3.3.2", *re.findall(r"AIRFLOW=(\S+)", (ROOT / ".ci" / "run").read_text())}
    assert in_each_run == pinned - by_hand
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    assert all(f"AIRFLOW={version}` " in contributing for version in by_hand)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_ci_builds_the_site_with_warnings_as_errors() -> None:
    assert re.search(r"^ +make docs$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    recipe = section_of_makefile("docs")
    assert {"-W", "-n"} <= set(shlex.split(recipe))


def section_of_makefile(target: str) -> str:
    """Return a target's recipe."""
    [recipe] = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return str(recipe)


def test_the_settings_of_the_pages_are_the_real_ones_with_their_defaults() -> None:
    text = (DOCS / "seeing-clips.md").read_text()
    shown = {row[0].strip("`"): row[1] for row in rows(section(text, "Set the roots"))}
    assert {name: default for name, default in shown.items() if name in SETTINGS_OF_PAGES} == {
        name: option["default"] or "empty" for name, option in SETTINGS_OF_PAGES.items()
    }


def test_the_links_on_a_task_are_the_real_ones() -> None:
    text = (DOCS / "seeing-clips.md").read_text()
    shown = [row[0] for row in rows(section(text, "The pages"))]
    assert [name for name in shown if name != "link on a task"] == [
        link.name for link in (ClipLink(), RequestLink(), FileLink(), ReviewLink())
    ]
