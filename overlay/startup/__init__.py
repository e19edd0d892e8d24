"""Opening an overlay: its layers, what a crash left, layers that were copied."""
