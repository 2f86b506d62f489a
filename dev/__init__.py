"""What developers run: the demo, a whole Airflow to click in, and what the tests need of both. Not shipped."""
