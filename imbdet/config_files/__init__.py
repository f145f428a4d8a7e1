"""YAML files of configs: their addresses, their keys, and the entries of a file with its bases."""
