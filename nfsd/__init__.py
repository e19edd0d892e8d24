"""The NFS side of the server: RPC, MOUNT and NFSv3 over TCP, and the command line.

Imports run one way: `nfsd` uses `overlay`, which uses `index`; never back.
"""
