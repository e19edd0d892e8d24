"""ONC RPC: records, headers, dispatch, and the caches of replies."""
