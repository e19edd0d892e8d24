"""How clients lock: the settings, and the options of the command line that change them."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, replace
from typing import Final

from nfsd.options import Refusal

GRACE_MAX: Final = 3600  # seconds
PORT_MAX: Final = 65535


@dataclass(frozen=True, slots=True)
class LockConfig:
    """The settings."""

    served: bool = True
    port: int = 0  # of TCP and UDP; 0: any
    grace: int = 50  # seconds after a restart; as long as the kernel's server waits


def add_lock_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to a subcommand that serves."""
    parser.add_argument(
        "--locks",
        choices=("on", "off"),
        help="whether clients can lock (default: the file's, or on)",
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
    """The settings as the options change them; raises Refusal."""
    if options.locks is not None:
        config = replace(config, served=options.locks == "on")
    if options.lock_port is not None:
        config = replace(config, port=_number("--lock-port", options.lock_port, PORT_MAX))
    if options.grace is not None:
        config = replace(config, grace=_number("--grace", options.grace, GRACE_MAX))
    return config


def _number(name: str, text: str, largest: int) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > largest:
        raise Refusal(f"{name} {text}: give a number from 0 to {largest}")
    return int(text)
