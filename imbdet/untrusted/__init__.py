"""Files that may hold anything: only regular ones are read, and their values have a form."""
