"""Measurements of the program: speed and memory, morphs, edits, faults; and experiments."""
