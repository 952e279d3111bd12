"""Evidence: what the metadata of a file claims, apart from its pixels."""
