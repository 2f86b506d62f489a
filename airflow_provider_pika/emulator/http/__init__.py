"""The server below the API: its sockets, its certificates, the host names it answers to, and broken connections."""

from __future__ import annotations
