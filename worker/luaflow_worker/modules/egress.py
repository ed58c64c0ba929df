"""Where requests of ``http_client`` may go: which addresses, looked up once and then held on to.

Link-local addresses (the metadata of clouds), multicast and reserved ones are never reached.
Private and loopback ones are refused too, unless ``LUAFLOW_HTTP_PRIVATE=allow``, which
``luaflow dev``, ``call`` and ``test`` set: they run on a developer's own machine.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from typing import TYPE_CHECKING, Any, Final

from luaflow.errors import WorkflowFailed

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult

VARIABLE: Final = "LUAFLOW_HTTP_PRIVATE"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA: Final = frozenset(
    ipaddress.ip_address(text) for text in ("169.254.169.254", "fd00:ec2::254", "100.100.100.200")
)
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


def allow_private() -> None:
    """Let functions of this process reach private addresses, where nobody decided otherwise."""
    os.environ.setdefault(VARIABLE, "allow")


def private_allowed() -> bool:
    """Whether private and loopback addresses may be reached."""
    return os.environ.get(VARIABLE, "refuse") == "allow"


def check_address(text: str) -> None:
    """Raise WorkflowFailed (PermissionDenied) for an address that must not be reached."""
    address = _plain(ipaddress.ip_address(text.partition("%")[0]))
    if (
        address in _METADATA
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or (address.is_reserved and not address.is_loopback)
    ):
        raise denied(f"not allowed: the address {text} is link-local, multicast or reserved")
    inside = not address.is_global or getattr(address, "is_site_local", False)
    if inside and not private_allowed():
        raise denied(
            f"not allowed: private IP {text}: set {VARIABLE}=allow where functions may reach "
            "addresses inside your network"
        )


def _plain(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one that only wraps it."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    wrapped = address.ipv4_mapped or address.sixtofour
    if wrapped is None and address.teredo:
        wrapped = address.teredo[1]
    return wrapped or address


def check_host(host: str) -> None:
    """Check a host of a URL that is an address already; names are checked when looked up."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return
    check_address(host)


def denied(message: str) -> WorkflowFailed:
    """The refusal that the code sees."""
    return WorkflowFailed(message, kind="PermissionDenied", retryable=False)


def checked_socket(found: tuple[Any, ...]) -> socket.socket:
    """The socket of a connection, whose address is checked once more.

    Hosts that the library takes for addresses are not looked up, and some become one only there:
    IDNA makes plain digits of full-width ones.
    """
    family, kind, proto, _, (address, *_) = found
    check_address(str(address))
    return socket.socket(family=family, type=kind, proto=proto)


async def look_up(host: str, port: int, family: int) -> list[ResolveResult]:
    """All addresses of a name; raises for a name with one that must not be reached.

    The connection is made to what is returned here, so that a name cannot change its mind between
    check and use.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
    out: list[Any] = []
    for kind, _, proto, _, (address, *_) in found:
        check_address(str(address))
        out.append(
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": kind,
                "proto": proto,
                "flags": socket.AI_NUMERICHOST,
            }
        )
    return out
