"""Locks of files: NLM, NSM, and the process that owns all locks."""
