"""Which proxy a call goes through, as HTTPS_PROXY and its like say."""

from __future__ import annotations

from functools import lru_cache
from urllib.request import getproxies, proxy_bypass


@lru_cache(maxsize=64)
def proxy_to(scheme: str, netloc: str) -> str | None:
    """Give what HTTPS_PROXY and its like name, as httpx does; aiohttp itself would ask twice a call, in a thread."""
    return None if proxy_bypass(netloc) else getproxies().get(scheme) or getproxies().get("all")
