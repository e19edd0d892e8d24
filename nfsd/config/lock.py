"""How clients lock: the settings, and the options of the command line that change them."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from typing import Final

from overlay.base.refusal import Refusal

GRACE_MAX: Final = 3600  # seconds
PORT_MAX: Final = 65535
LOCKS: Final = ("on", "off", "local")


@dataclass(frozen=True, slots=True)
class LockConfig:
    """The settings."""

    served: bool = True
    local: bool = False  # whether processes of the server's machine see the locks
    port: int = 0  # of TCP and UDP; 0: any
    grace: int = 50  # seconds after a restart; as long as the kernel's server waits

    def changed(self, locks: str | None, port: int | None, grace: int | None) -> LockConfig:
        """Return the settings with those that are given in place of these.

        `locks` is one of LOCKS.
        """
        return LockConfig(
            self.served if locks is None else locks != "off",
            self.local if locks is None else locks == "local",
            self.port if port is None else port,
            self.grace if grace is None else grace,
        )


def add_lock_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to a subcommand that serves."""
    parser.add_argument(
        "--locks",
        choices=LOCKS,
        help="whether clients can lock; local: processes of this machine see their locks on upper "
        "files, and they see theirs (default: the file's, or on)",
    )
    parser.add_argument(
        "--lock-port",
        metavar="PORT",
        help="of NLM and NSM, TCP and UDP (default: the file's, or any)",
    )
    parser.add_argument(
        "--grace",
        metavar="SECONDS",
        help="after a restart, for clients to get their locks again (default: the file's, or "
        f"{LockConfig().grace})",
    )


def lock_config(options: argparse.Namespace, config: LockConfig) -> LockConfig:
    """Return the settings as the options change them; raises Refusal."""
    port = _number("--lock-port", options.lock_port, PORT_MAX)
    grace = _number("--grace", options.grace, GRACE_MAX)
    return config.changed(options.locks, port, grace)


def _number(name: str, text: str | None, largest: int) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > largest:
        raise Refusal(f"{name} {text}: give a number from 0 to {largest}")
    return int(text)
