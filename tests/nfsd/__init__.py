"""Tests of parts of the server, module by module, without a server."""
