"""The command line, ``python -m airflow_provider_pika.emulator``, and nothing else."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence

#: Modules that the extra ``emulator`` installs.
EXTRA = {"av", "cryptography", "fastapi", "PIL", "pydantic", "starlette", "trustme", "uvicorn"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop, and return the exit code: 2 with one line on stderr for what the user can put right."""
    try:
        from airflow_provider_pika.emulator import command
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in EXTRA:
            raise
        return _fail(f"{error.name} is not installed: pip install 'airflow-provider-pika[emulator]'")
    try:
        with contextlib.suppress(KeyboardInterrupt):
            command.run(arguments)
    except command.UsageError as error:
        return _fail(str(error))
    return 0


def _fail(message: str) -> int:
    print(f"fal emulator: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
