"""Telling systemd how we are: the notify protocol, a datagram to the socket that it names."""

import os
import socket

import structlog

log = structlog.get_logger(__name__)


def notify(**state: str) -> bool:
    """Send, for example, `notify(READY="1", STATUS="serving")`; False where no systemd asked to be told, or none hears.

    Nobody stops working because of it: a manager that has to be told does what its unit says.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    message = "\n".join(f"{key}={value}" for key, value in state.items())
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            # An abstract socket's name begins with a NUL, which the variable spells "@".
            channel.connect("\0" + address[1:] if address.startswith("@") else address)
            channel.sendall(message.encode())
    except OSError as error:
        log.warning("manager_not_told", socket=address, error=error.strerror or str(error))
        return False
    return True


def is_managed() -> bool:
    """Whether a service manager asked to be told."""
    return "NOTIFY_SOCKET" in os.environ


def extend_timeout(seconds: float) -> None:
    """Ask for so long from now, where the unit's limit for stopping would end before."""
    notify(EXTEND_TIMEOUT_USEC=str(max(0, round(seconds * 1_000_000))))


def watchdog_seconds() -> float | None:
    """How often systemd wants to hear from this process; None if it does not watch it."""
    usec, pid = os.environ.get("WATCHDOG_USEC"), os.environ.get("WATCHDOG_PID")
    if not usec or (pid and int(pid) != os.getpid()):
        return None
    return int(usec) / 1_000_000
