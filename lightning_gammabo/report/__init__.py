"""What a search shows: progress, tables, pictures."""
