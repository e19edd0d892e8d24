"""What commands do to an overlay that is not served: seal, detach, follow kernel mounts."""
