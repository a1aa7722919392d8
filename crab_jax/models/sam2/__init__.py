"""SAM 2.1: a mask for a box and points in a picture."""
