"""Read files that may hold anything: only regular ones, and only values of a declared form."""
