"""The faults that can be asked for, as JSON in the admin call, or as ``[[...]]`` in a prompt."""

from __future__ import annotations

import re
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Operation = Literal["submit", "status", "stream", "result", "cancel", "file", "history", "pricing", "billing", "run"]

#: Answered before anything is processed, so that no request comes of it.
RefusalName = Literal[
    "reset",
    "http_403",
    "http_404",
    "http_429",
    "http_500",
    "http_502",
    "http_503",
    "http_504",
    "locked",
    "redirect",
]

#: The request is processed as usual; what goes wrong is the reply.
ReplyName = Literal["lost_reply", "stall", "malformed"]

#: What goes wrong with one reply of a result file, and with no other reply.
DownloadName = Literal["reset_midway", "stall_midway", "wrong_content_length", "no_ranges", "changed_file"]

#: What becomes of an accepted request.
GenerationName = Literal[
    "content_policy_violation",
    "generation_error",
    "downstream_error",
    "runner_error",
    "start_timeout",
    "never_finish",
    "requeue",
    "expire",
    "wrong_length",
    "truncated_file",
    "broken_file",
    "html_file",
    "slow_download",
    "large_file",
    "expired_file",
    "forbidden_file",
    "ignore_cancel",
    "webhook_payload_error",
]

#: What goes wrong with the price that is told of one endpoint. What is charged stays the same.
PriceName = Literal["placeholder_price"]

#: Faults that refuse a call.
REFUSALS = frozenset(get_args(RefusalName))
#: Faults of a file's download.
DOWNLOAD_FAULTS = frozenset(get_args(DownloadName))
#: Faults of an accepted request.
GENERATION_FAULTS = frozenset(get_args(GenerationName))
#: Faults of a price.
PRICE_FAULTS = frozenset(get_args(PriceName))

#: The options of a fault, besides ``times``, ``match`` and (for faults of an exchange) ``on``.
OPTIONS: dict[str, frozenset[str]] = {
    "stall": frozenset({"seconds"}),
    "http_429": frozenset({"retry_after"}),
    "http_502": frozenset({"accepted"}),
    "http_504": frozenset({"accepted"}),
    "reset": frozenset({"accepted"}),
    "content_policy_violation": frozenset({"billed"}),
    "generation_error": frozenset({"retryable"}),
    "downstream_error": frozenset({"retryable"}),
    "slow_download": frozenset({"bytes_per_second"}),
    "large_file": frozenset({"bytes"}),
    "redirect": frozenset({"location"}),
    "placeholder_price": frozenset({"unit"}),
    "reset_midway": frozenset({"bytes"}),
    "stall_midway": frozenset({"bytes", "seconds"}),
}

#: Defaults of options that differ from those of the other faults.
DEFAULTS: dict[str, dict[str, object]] = {
    "large_file": {"bytes": 1_000_000_000},
    **{name: {"on": "file"} for name in DOWNLOAD_FAULTS},
}

#: A fault asked for in a prompt: ``[[name key=value]]``.
DIRECTIVE = re.compile(r"\[\[\s*(\w+)((?:\s+\w+=[^\s\]]+)*)\s*\]\]")


class Fault(BaseModel):
    """One fault as it was asked for. Times and bytes are counts, ``seconds`` and ``retry_after`` are seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fault: RefusalName | ReplyName | DownloadName | GenerationName | PriceName
    on: Operation = "submit"
    times: int = Field(default=1, ge=1)
    match: str = ""
    seconds: float = Field(default=600, gt=0)
    retry_after: int | None = Field(default=None, ge=0)
    retryable: bool = False
    billed: bool = False
    accepted: bool = False
    bytes_per_second: int = Field(default=65536, ge=1)
    bytes: int = Field(default=65536, ge=0, le=2**40)
    unit: Literal["units", "compute seconds"] = "units"
    location: str = Field(default="", pattern=r"^[!-~]+$")

    @model_validator(mode="before")
    @classmethod
    def _with_its_own_defaults(cls, given: Any) -> Any:
        return {**DEFAULTS.get(str(given.get("fault")), {}), **given} if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _only_its_own_options(self) -> Fault:
        known = {"fault", "times", "match"} | OPTIONS.get(self.fault, frozenset())
        if not self.is_generation and not self.is_price:
            known |= {"on"}
        if unknown := self.model_fields_set - known:
            raise ValueError(f"{self.fault} has no option {', '.join(sorted(unknown))}")
        return self

    @model_validator(mode="after")
    def _can_strike(self) -> Fault:
        if self.is_download and self.on != "file":
            raise ValueError(f"{self.fault} can only be on=file")
        if self.fault == "redirect" and not self.location:
            raise ValueError("redirect needs a location")
        return self

    @property
    def is_download(self) -> bool:
        """Tell whether it strikes the download of a result file."""
        return self.fault in DOWNLOAD_FAULTS

    @property
    def is_generation(self) -> bool:
        """Tell whether it strikes the request itself rather than one HTTP exchange."""
        return self.fault in GENERATION_FAULTS

    @property
    def is_price(self) -> bool:
        """Tell whether it strikes the price that is told of an endpoint. Then ``match`` is in the endpoint's id."""
        return self.fault in PRICE_FAULTS

    @property
    def is_refusal(self) -> bool:
        """Tell whether it strikes before anything is processed."""
        return self.fault in REFUSALS and not self.accepted


def parse_prompt(prompt: str) -> list[Fault]:
    """Return the faults that a prompt asks for, in order. What is no known fault stays text."""
    return [fault for match in DIRECTIVE.finditer(prompt) if (fault := _parse_directive(match)) is not None]


def unknown_directives(prompt: str) -> list[str]:
    """Return what looks like a fault in a prompt and is none, most likely misspelt."""
    return [match[0] for match in DIRECTIVE.finditer(prompt) if _parse_directive(match) is None]


def strip_directives(prompt: str) -> str:
    """Return the prompt without its faults. It is drawn, so a faulty run makes the same picture as a clean one."""
    text = DIRECTIVE.sub(lambda match: match[0] if _parse_directive(match) is None else " ", prompt)
    return " ".join(text.split())


def _parse_directive(match: re.Match[str]) -> Fault | None:
    options = dict(pair.split("=", 1) for pair in match[2].split())
    if {"fault", "match"} & options.keys():
        return None
    try:
        fault = Fault.model_validate({**options, "fault": match[1]})
    except ValidationError:
        return None
    if fault.is_price:  # no prompt leads to a price
        return None
    return None if fault.is_generation and "times" in options else fault  # a request has only one end
