"""How programs start, import quickly, end, and run other programs."""
