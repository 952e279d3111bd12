"""Formats: one bounded walker for each container of images; nothing else in the package parses a header."""
