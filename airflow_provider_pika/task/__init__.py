"""What any of our tasks needs of Airflow: its record, XComs, templates, arguments, errors, a kill, a time limit."""
