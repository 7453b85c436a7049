"""Helpers of all other packages: errors, files, progress, devices, command lines."""
