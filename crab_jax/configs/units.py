"""What media are measured in, wherever they come from."""

# Pixels of the coordinate frame that all boxes and points of AV-UIE v2 use,
# whatever the size of the frames that the vision tower sees.
COORDINATE_SIZE = 224
SAMPLE_RATE = 16_000  # Hz
MEL_FRAME_RATE = 100  # mel frames per second: a hop of 160 samples
