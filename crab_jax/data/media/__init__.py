"""Media files to arrays: frames of a video, a picture, a waveform, a mask."""
