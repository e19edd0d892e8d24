"""What every part of the server uses: its name, its log, how it refuses."""
