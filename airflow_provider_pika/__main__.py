"""The command line, ``python -m airflow_provider_pika``."""

import sys

from airflow_provider_pika.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
