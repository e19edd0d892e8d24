"""A torture test of file handles, for any NFSv3 server.

An NFS client of its own: it knows the server under test by its answers only, so
nothing here imports what the server is made of.
"""
