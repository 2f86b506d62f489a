"""From a URL that expires to bytes that can be trusted, without Airflow.

Where a file may come from (``trust.py``, ``addresses.py``), what a host's answer means (``fetching.py``) and who asks
(``download.py``); what a video is (``mp4.py``, ``probing.py``, with ``decoder.py`` in a process of its own), and
whether it is the one that was asked for (``fitting.py``).
"""
