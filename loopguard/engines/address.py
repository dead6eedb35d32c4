"""What the user gives for a server, checked before anything is sent: address, key, further fields."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from loopguard.errors import InputError

EXAMPLE = "openai:http://localhost:8000/v1"
OWN_FIELDS = frozenset(
    ("model", "messages", "n", "seed", "temperature", "top_p", "max_tokens", "max_completion_tokens", "stream")
) | frozenset(("logprobs", "top_logprobs", "response_format"))
"""Fields of the request body that the recipe sets in other ways: extra_body may not hold them."""


def check_url(base_url: str) -> str:
    """`base_url` without a trailing slash. Raises InputError unless it is http(s)://host[:port][/path]."""
    url = base_url.strip().rstrip("/")
    if not url:
        raise InputError(f"the openai engine needs the server's address; example: {EXAMPLE}")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise InputError(
            "the server's address may hold no user, password, ? or #: a key belongs into the environment variable "
            f"that --api-key-env names; example: {EXAMPLE}"
        )
    if parts.scheme not in ("http", "https") or not host or any(c.isspace() or not c.isprintable() for c in url):
        raise InputError(f"no server address: {url!r}; pass http:// or https://, a host and a path; example: {EXAMPLE}")
    for tail in ("/chat/completions", "/completions", "/models"):
        if url.endswith(tail):
            raise InputError(f"the server's address ends before {tail}: openai:{url.removesuffix(tail)}")
    return url


def check_key(key: str, env: str) -> str:
    """The key without blanks around it. Raises InputError, without the key, when no HTTP header can hold it."""
    key = key.strip()
    if not key.isascii() or not key.isprintable():
        raise InputError(f"the key in {env} holds characters that no HTTP header can carry; set it again")
    return key


def check_extra_body(extra_body: Mapping[str, Any]) -> None:
    """Raises InputError for a field that loopguard sets itself."""
    if taken := sorted(OWN_FIELDS & set(extra_body)):
        raise InputError(f"extra_body may not hold {', '.join(taken)}: loopguard sets it from the recipe")


def is_loopback(url: str) -> bool:
    """Whether the address is on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
