"""Worker processes that read hostile files: how they start and end, what they may do and say."""
