"""Tests of the index, module by module."""
