"""What knows no tree: errors, threads that must not wait, credentials, counters."""
