"""Weights of backbones: their names, where they come from, and how they lie on disk."""
