"""The YAML files of configs: their addresses, their keys, and what a file and its bases hold."""
