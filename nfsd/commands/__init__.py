"""The command line: what an administrator types, one module for each subcommand."""
