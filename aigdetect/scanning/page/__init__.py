"""The report of a scan as one HTML page that needs nothing else."""
