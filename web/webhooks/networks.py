"""Networks as an operator writes them."""

from __future__ import annotations

import ipaddress

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read networks as an operator writes them: ``10.0.0.0/8, fd00::/8``.

    Raises
    ------
    ValueError
        If one of them is none.
    """
    return tuple(ipaddress.ip_network(each.strip()) for each in text.split(",") if each.strip())
