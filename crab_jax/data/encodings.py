"""The encoded media inside a record: JPEG or PNG frames, FLAC audio, masks.

Images are uint8[H, W, 3] in RGB, waveforms float32[S] in [-1, 1) at 16 kHz,
masks bool[H, W] with True on the object.
"""

import io

import numpy as np
from jaxtyping import Bool
from jaxtyping import Float
from jaxtyping import UInt8
from PIL import Image

from crab_jax import configs
from crab_jax.sound_files import soundfile

_BLOCK = 1 << 18  # samples that are encoded at a time
_INT16_SCALE = 32768  # int16 files at 16 kHz survive the round trip exactly


def encode_image(
  image: UInt8[np.ndarray, "H W 3"], frame_format: str, jpeg_quality: int
) -> bytes:
  """An image as "jpeg" or "png" (lossless) bytes."""
  buffer = io.BytesIO()
  if frame_format == "png":
    Image.fromarray(image).save(buffer, "PNG")
  else:
    # 4:4:4: small frames lose more by halved chroma than the bytes are worth.
    Image.fromarray(image).save(
      buffer, "JPEG", quality=jpeg_quality, subsampling=0
    )
  return buffer.getvalue()


def decode_frame(data: bytes, size: int) -> UInt8[np.ndarray, "H W 3"]:
  """One frame, uint8[size, size, 3] RGB; another size is resized bicubically.

  Raises:
    ValueError: it does not decode.
  """
  try:
    with Image.open(io.BytesIO(data)) as opened:
      image: Image.Image = opened
      if image.mode != "RGB":
        image = image.convert("RGB")
      if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BICUBIC)
      return np.asarray(image)
  except (OSError, SyntaxError) as error:  # SyntaxError: a broken PNG
    raise ValueError(f"the image does not decode: {error}") from error


def encode_audio(audio: Float[np.ndarray, "S"]) -> bytes:
  """A waveform as FLAC, mono, int16, 16 kHz; values outside [-1, 1) clip."""
  buffer = io.BytesIO()
  with soundfile.SoundFile(
    buffer, "w", configs.SAMPLE_RATE, 1, "PCM_16", format="FLAC"
  ) as file:
    # In blocks: copies of a long waveform would take several times its memory.
    for start in range(0, len(audio), _BLOCK):
      scaled = np.rint(audio[start : start + _BLOCK] * _INT16_SCALE)
      file.write(np.clip(scaled, -32768, 32767).astype(np.int16))
  return buffer.getvalue()


def decode_audio(data: bytes) -> Float[np.ndarray, "S"]:
  """The waveform of an encoded file: float32[S] in -1..1.

  Raises:
    ValueError: it is not mono at 16 kHz, or does not decode.
  """
  try:
    wave, rate = soundfile.read(io.BytesIO(data), dtype="float32")
  except soundfile.LibsndfileError as error:
    raise ValueError(f"the audio does not decode: {error}") from error
  if rate != configs.SAMPLE_RATE or wave.ndim != 1:
    raise ValueError(
      f"the audio must be mono at {configs.SAMPLE_RATE} Hz, got"
      f" {wave.shape[1:]} channels at {rate} Hz"
    )
  return wave


def audio_samples(data: bytes) -> int:
  """Samples of an encoded file, from its header.

  Raises:
    ValueError: it has no readable header.
  """
  try:
    return soundfile.info(io.BytesIO(data)).frames
  except soundfile.LibsndfileError as error:
    raise ValueError(f"the audio has no readable header: {error}") from error


def encode_mask(mask: Bool[np.ndarray, "H W"]) -> bytes:
  """A mask as greyscale PNG, 255 where True."""
  buffer = io.BytesIO()
  Image.fromarray(mask.astype(np.uint8) * 255).save(buffer, "PNG")
  return buffer.getvalue()
