"""Measurements of the program (speed and memory, morphs, edits, faults), and what goes with them:
training on a rented machine, screenshots. The commands are run in the project's folder."""
