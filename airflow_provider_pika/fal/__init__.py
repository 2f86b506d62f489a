"""The fal queue without Airflow: what may be asked, what may be answered, how to wait. Imports nothing of Airflow."""
