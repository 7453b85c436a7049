"""What is kept: animations, stills and sheets, and what each file says of itself."""
