"""From a name or a handle to the object: the merging of layers."""
