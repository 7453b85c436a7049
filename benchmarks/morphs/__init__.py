"""Measures of how good the frames of a morph are, and the ways of making them to compare."""
