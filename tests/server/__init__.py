"""Tests of a server that runs: each speaks to it over loopback."""
