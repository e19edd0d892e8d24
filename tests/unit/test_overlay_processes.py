"""Several processes that serve one overlay: what one does, another sees at once.

The processes are real ones, forked as the server forks its workers.  Where it matters what is half
done in one while another looks, the first is stopped there.
"""

from __future__ import annotations
