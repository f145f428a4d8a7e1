"""How a place of a detector learns from its samples; torch alone."""
