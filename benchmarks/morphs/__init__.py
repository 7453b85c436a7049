"""How good the frames of a morph are: ways to make them, and what is measured of them."""
