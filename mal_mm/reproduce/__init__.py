"""What the papers report, and how to make their tables again with this package."""
