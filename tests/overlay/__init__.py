"""Tests of the overlay, module by module."""
