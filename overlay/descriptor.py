"""The descriptors that an overlay gives to a server: they close themselves (index.fd)."""

from index.fd import Fd

__all__ = ["Fd"]
