"""The pages that show clips: an application of FastAPI, which Airflow's API server mounts under ``/pika``."""
