"""A model on its device and what can be done between encoding and decoding."""
