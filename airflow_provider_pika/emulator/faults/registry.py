"""Which fault strikes next: those of the admin call first, then those in the prompt, as often as asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from airflow_provider_pika.emulator.data_folder import Database
from airflow_provider_pika.emulator.faults.catalogue import Fault, Operation, parse_prompt


@dataclass(frozen=True)
class Subject:
    """What an exchange is about: a prompt, and the key under which the uses of its faults are counted."""

    prompt: str
    key: str


def body_key(endpoint: str, body: bytes) -> str:
    """Return the key of a submission without a request id. The same body to the same endpoint has the same key."""
    return hashlib.sha256(endpoint.encode() + b"\n" + body).hexdigest()


class FaultRegistry:
    """The faults set by the admin call, and how often each fault of a prompt was used up."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def set(self, fault: Fault) -> None:
        """Let the fault strike from now on, ``fault.times`` times."""
        spec = fault.model_dump_json(exclude_unset=True)
        self._db.execute("INSERT INTO faults (spec, left) VALUES (?, ?)", spec, fault.times)

    def pending(self) -> list[dict[str, Any]]:
        """Return the faults still to come, each with how many times are ``left``."""
        return [{**fault.model_dump(), "left": left} for _, fault, left in self._pending()]

    def clear(self, match: str = "") -> None:
        """Forget all faults that were set, or those set with this ``match``. Faults in prompts stay."""
        for number, fault, _ in self._pending():
            if not match or fault.match == match:
                self._db.execute("DELETE FROM faults WHERE id = ?", number)

    def take(self, operation: Operation, subjects: Iterable[Subject]) -> Fault | None:
        """Return the fault that strikes this exchange, or None. This call uses it up once."""
        subjects = list(subjects)
        for number, fault, left in self._pending():
            if fault.is_generation or fault.is_price or fault.on != operation:
                continue
            if not fault.match or any(fault.match in subject.prompt for subject in subjects):
                self._use(number, left)
                return fault
        return next((f for s in subjects if (f := self._take_directive(operation, s)) is not None), None)

    def for_request(self, prompt: str) -> list[Fault]:
        """Return the generation faults of a request that starts. Those in its prompt strike every time."""
        taken = [fault for fault in parse_prompt(prompt) if fault.is_generation]
        for number, fault, left in self._pending():
            if fault.is_generation and fault.match in prompt:
                self._use(number, left)
                taken.append(fault)
        return taken

    def for_price(self, endpoint: str) -> Fault | None:
        """Return the fault of the price that is told of this endpoint, or None. This call uses it up once."""
        for number, fault, left in self._pending():
            if fault.is_price and fault.match in endpoint:
                self._use(number, left)
                return fault
        return None

    def forget(self, key: str) -> None:
        """Count a submission's faults anew, so that the same prompt behaves the same in the next run."""
        self._db.execute("DELETE FROM fault_uses WHERE subject = ?", key)

    def _pending(self) -> list[tuple[int, Fault, int]]:
        rows = self._db.rows("SELECT * FROM faults ORDER BY id")
        return [(row["id"], Fault.model_validate_json(row["spec"]), row["left"]) for row in rows]

    def _use(self, number: int, left: int) -> None:
        if left > 1:
            self._db.execute("UPDATE faults SET left = left - 1 WHERE id = ?", number)
        else:
            self._db.execute("DELETE FROM faults WHERE id = ?", number)

    def _take_directive(self, operation: Operation, subject: Subject) -> Fault | None:
        for index, fault in enumerate(parse_prompt(subject.prompt)):
            if fault.is_generation or fault.on != operation or self._uses(subject.key, index) >= fault.times:
                continue
            self._db.execute(
                "INSERT INTO fault_uses VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET uses = uses + 1",
                subject.key,
                index,
            )
            return fault
        return None

    def _uses(self, key: str, index: int) -> int:
        query = "SELECT uses FROM fault_uses WHERE subject = ? AND directive = ?"
        row = self._db.row(query, key, index)
        return 0 if row is None else int(row["uses"])
