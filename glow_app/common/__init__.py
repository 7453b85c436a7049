"""What several parts need and none owns: errors, files, progress, devices, command lines."""
