"""The descriptors that an overlay gives to a server: they close themselves (index.fd)."""

from index.fd import Fd, proc_path

__all__ = ["Fd", "proc_path"]
