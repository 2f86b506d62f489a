"""From a URL that expires to bytes that can be trusted, without Airflow.

Where a file may come from (``url_policy.py``), what a host's answer means (``http_range.py``) and who asks
(``download.py``); what a video is (``mp4.py``), and whether it is a good one, and the one that was asked for
(``verify.py``, with ``decoder.py`` in a process of its own, which makes a poster, too, and ``jpeg.py`` to check that).
"""
