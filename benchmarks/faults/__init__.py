"""What goes wrong elsewhere, made on purpose: hostile uploads, load, and interrupted training.

`scripts/dev/faults.py` runs all of it and prints one table.
"""
