"""Tests of the project itself: its structure, its documents, its tools."""
