"""Image towers: stem, blocks and pooling behind one interface, whoever made them, in whatever precision."""
