"""Every picture enters here: open, orient, find and align the face, resize."""
