"""Addresses: which belong to the public internet, and how one may be kept and shown."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit, urlunsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_SPECIAL = tuple(
    ipaddress.ip_network(text)
    for text in (
        # What `is_global` of some Python versions lets through, and translations of IPv4.
        "0.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "192.0.0.0/24", "192.88.99.0/24",
        "198.18.0.0/15", "240.0.0.0/4", "::/96", "64:ff9b:1::/48", "100::/64", "2001::/23",
        "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SECRET = (
    "key", "token", "secret", "password", "passwd", "pwd", "credential", "credentials", "auth",
    "authorization", "signature", "sig", "session", "sessionid", "jwt",
)  # fmt: skip
"""Endings of the names of parameters whose values are secrets, in small letters: `api_key`,
`X-Amz-Signature`."""


def is_public(text: str) -> bool:
    """Whether an address belongs to the public internet, also where it wraps another."""
    try:
        address: Address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address.teredo is not None:
            inner = address.teredo[1]
        elif address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None and not is_public(str(inner)):
            return False
        if address.ipv4_mapped is not None:
            return True
    if any(address in network for network in _SPECIAL if network.version == address.version):
        return False
    return address.is_global and not address.is_multicast


def public_form(source: str) -> str:
    """A source as it may be kept and shown: of an address no secret, anything else as it is.

    Names and passwords before an `@`, the part after `#`, and the values of parameters that are
    secrets by their name are left out. What cannot be taken apart is left out but for its scheme.
    """
    scheme = SCHEME.match(source)
    if scheme is None:
        return source
    try:
        parts = urlsplit(source)
        known = parts.hostname is not None and (parts.port or True)
    except ValueError:
        known = False
    if not known:
        return f"{scheme[0]}..."
    host = parts.netloc.rpartition("@")[2]
    query = "&".join(map(_without_secret, parts.query.split("&")))
    return urlunsplit((parts.scheme, host, parts.path, query, ""))


def _without_secret(parameter: str) -> str:
    name, equals, value = parameter.partition("=")
    return f"{name}=***" if value and name.lower().endswith(_SECRET) else name + equals + value
