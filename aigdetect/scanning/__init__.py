"""Scanning: files in, rows out, in a bounded stream."""
