"""The grammar of faults, in prompts and in the admin call."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from airflow_provider_pika.emulator.faults.catalogue import Fault, parse_prompt, strip_directives, unknown_directives


def test_a_directive_names_a_fault_and_its_options() -> None:
    (fault,) = parse_prompt("a cat [[http_429 on=status times=3 retry_after=7]] on a wall")
    assert (fault.fault, fault.on, fault.times, fault.retry_after) == ("http_429", "status", 3, 7)


def test_several_directives_keep_their_order() -> None:
    faults = parse_prompt("[[reset]] a cat [[stall seconds=2.5]][[wrong_length]]")
    assert [fault.fault for fault in faults] == ["reset", "stall", "wrong_length"]
    assert faults[1].seconds == 2.5


def test_operation_faults_strike_the_submission_once_unless_told_otherwise() -> None:
    (fault,) = parse_prompt("[[lost_reply]]")
    assert (fault.on, fault.times) == ("submit", 1)


@pytest.mark.parametrize(
    "prompt",
    [
        "[[sunset]]",
        "[[stall for=ever]]",
        "[[stall on=tuesday]]",
        "[[stall seconds=-1]]",
        "[[never_finish on=status]]",
        "[[reset times=0]]",
        "[[reset match=cat]]",
        "[[reset fault=stall]]",
        "[reset]",
        "[[reset",
        "[[reset_midway on=status]]",
        "[[redirect on=file]]",
        "[[large_file on=file]]",
        "[[placeholder_price]]",
    ],
)
def test_what_is_no_directive_stays_text(prompt: str) -> None:
    assert parse_prompt(prompt) == []
    assert strip_directives(prompt) == prompt


def test_directives_are_not_drawn() -> None:
    assert strip_directives("a cat [[reset times=2]] on [[a wall]]") == "a cat on [[a wall]]"


def test_faults_of_a_download_strike_the_file_without_being_told() -> None:
    faults = parse_prompt("[[reset_midway bytes=7 times=3]] [[stall_midway]] [[no_ranges on=file]]")
    assert [(fault.on, fault.times, fault.bytes) for fault in faults] == [
        ("file", 3, 7),
        ("file", 1, 65536),
        ("file", 1, 65536),
    ]


def test_a_location_is_taken_as_it_is() -> None:
    (fault,) = parse_prompt("a cat [[redirect on=file location=http://169.254.169.254/latest?a=b&c=d#e]]")
    assert (fault.on, fault.location) == ("file", "http://169.254.169.254/latest?a=b&c=d#e")


def test_a_fault_is_the_same_after_it_was_kept() -> None:
    (fault,) = parse_prompt("[[large_file]]")
    kept = Fault.model_validate_json(fault.model_dump_json(exclude_unset=True))
    assert kept.bytes == fault.bytes == 1_000_000_000


def test_retryable_is_read_as_a_truth_value() -> None:
    assert [fault.retryable for fault in parse_prompt("[[generation_error retryable=true]][[downstream_error]]")] == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"fault": "sunset"}, "sunset"),
        ({"fault": "reset", "seconds": 3}, "seconds"),
        ({"fault": "requeue", "on": "status"}, "on"),
        ({"fault": "reset", "colour": "red"}, "colour"),
        ({"fault": "no_ranges", "on": "result"}, "on=file"),
        ({"fault": "no_ranges", "bytes": 1}, "bytes"),
        ({"fault": "redirect", "on": "file"}, "location"),
        ({"fault": "placeholder_price", "on": "pricing"}, "on"),
        ({"fault": "placeholder_price", "unit": "videos"}, "unit"),
        ({"fault": "redirect", "location": "http://a b"}, "location"),
        ({"fault": ["redirect"]}, "fault"),
    ],
)
def test_an_admin_call_names_what_it_does_not_know(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        Fault.model_validate(wrong)


@pytest.mark.parametrize(
    "misspelt", ["[[htp_500]]", "[[http_500 tiems=2]]", "[[http_500 on=nowhere]]", "[[runner_error times=1]]"]
)
def test_what_looks_like_a_fault_and_is_none_can_be_told(misspelt: str) -> None:
    assert parse_prompt(f"a cat {misspelt}") == []
    assert unknown_directives(f"a cat {misspelt} [[reset]]") == [misspelt]
