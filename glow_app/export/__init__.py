"""Write files: animations, stills and sheets, with how each was made inside."""
