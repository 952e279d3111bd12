"""Data sets: folder conventions and images with labels."""
