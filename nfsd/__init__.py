"""The NFS side of the server: network, RPC, programs, exports, processes, the command line.

Imports run one way: `nfsd` uses `overlay`, which uses `index`; never back.
"""
