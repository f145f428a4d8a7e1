"""What keys and methods there are, read from the sources in place of importing them.

Importing torch and detectron2 takes seconds, which is long for a look into a list.
"""
