"""The numbers that Prometheus and `overlay-nfsd top` show."""
