"""The keys and methods that there are, read from the sources instead of importing them.

Importing torch and detectron2 takes seconds, which is too long for showing a list.
"""
