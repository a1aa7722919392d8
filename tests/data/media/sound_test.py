import tracemalloc

import av
import librosa
import numpy as np
import pytest
import soundfile

from crab_jax.data import statuses
from crab_jax.data.media import sound
from tests.data import clips
from tests.data.media import files as media_files


def test_audio_is_read_as_librosa_does(tmp_path):
  path = tmp_path / "x.wav"
  left, right = clips.tone(1.3, 440, 44_100), clips.tone(1.3, 300, 44_100)
  clips.write_audio(path, np.stack([left, right], axis=1), 44_100)
  expected, _ = librosa.load(path, sr=16_000)
  found = sound.read_audio(path).samples
  np.testing.assert_array_equal(found, expected)
  assert found.dtype == np.float32


def test_audio_at_16_khz_is_untouched(tmp_path):
  path = tmp_path / "x.wav"
  samples = np.arange(-500, 500, dtype=np.int16)
  clips.write_audio(path, samples)
  np.testing.assert_array_equal(sound.read_audio(path).samples * 32768, samples)


def _write_aac(path, seconds):
  with av.open(str(path), "w", format="mp4") as container:
    stream = container.add_stream("aac", rate=16_000, layout="mono")
    tone = clips.tone(seconds, 300)[None]
    frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
    frame.sample_rate = 16_000
    for packet in (*stream.encode(frame), *stream.encode()):
      container.mux(packet)


def test_audio_that_libsndfile_cannot_read_goes_through_ffmpeg(tmp_path):
  path = tmp_path / "x.m4a"
  _write_aac(path, 2.0)
  found = sound.read_audio(path).samples
  assert len(found) == pytest.approx(32_000, abs=2048)  # frames of 1024
  spectrum = np.abs(np.fft.rfft(found))
  assert np.argmax(spectrum) * 16_000 / len(found) == pytest.approx(300, abs=2)


def test_a_long_mp3_is_read_in_silence(tmp_path, capfd):
  """The decoder writes what it misses to stderr, past Python."""
  rng = np.random.default_rng(0)
  path = tmp_path / "a.mp3"
  wave = rng.uniform(-0.5, 0.5, 300_000).astype(np.float32)
  wave *= np.linspace(0, 1, len(wave), dtype=np.float32)  # frames of many sizes
  soundfile.write(path, wave, 16_000, bitrate_mode="VARIABLE")
  found = sound.read_audio(path)
  expected, _ = librosa.load(path, sr=None)
  np.testing.assert_array_equal(found.samples, expected)
  assert capfd.readouterr().err == ""


@pytest.mark.parametrize("samples", [300, 500, 4_000, 16_000, 16_001, 40_000])
@pytest.mark.parametrize(
  "name",
  ["a.wav", "a.flac", "a.mp3", "a.ogg", "a.opus", "a.aiff", "a.au", "a.caf"],
)
def test_a_file_has_as_many_samples_as_were_written(tmp_path, name, samples):
  path = tmp_path / name
  wave = np.resize(clips.tone(2.5, 300), samples)
  if name.endswith("opus"):
    soundfile.write(path, wave, 16_000, format="OGG", subtype="OPUS")
  else:
    soundfile.write(path, wave, 16_000)
  found = sound.read_audio(path)
  assert len(found.samples) == samples
  assert found.seconds == samples / 16_000


def test_a_truncated_wav_is_truncated(tmp_path):
  path = tmp_path / "x.wav"
  clips.write_audio(path, clips.tone(1))
  clips.cut_short(path)
  reason = media_files.fails("truncated", sound.read_audio, path)
  assert "15978 of 32000 bytes" in reason


def test_a_streamed_wav_of_unknown_size_is_read(tmp_path):
  path = tmp_path / "x.wav"
  clips.write_audio(path, clips.tone(1))
  data = path.read_bytes()
  place = data.index(b"data") + 4
  path.write_bytes(data[:place] + b"\xff" * 4 + data[place + 4 :])
  assert len(sound.read_audio(path).samples) == 16_000


@pytest.mark.parametrize("name", ["x.wav", "x.mp3", "x.m4a"])
@pytest.mark.parametrize("size", [0, 7, 5000])
def test_what_is_no_audio_is_bad(tmp_path, name, size):
  path = tmp_path / name
  path.write_bytes(np.random.default_rng(size).bytes(size))
  media_files.fails("bad_audio", sound.read_audio, path)


def test_empty_and_not_finite_audio_is_bad(tmp_path):
  path = tmp_path / "x.wav"
  clips.write_audio(path, np.zeros(0, np.float32))
  media_files.fails("bad_audio", sound.read_audio, path)
  path = tmp_path / "x.caf"
  soundfile.write(path, np.full(100, np.nan), 16_000, subtype="FLOAT")
  media_files.fails("bad_audio", sound.read_audio, path)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_wav_that_its_recorder_never_closed_is_read(tmp_path, size):
  path = tmp_path / "x.wav"
  clips.write_audio(path, clips.tone(1))
  data = bytearray(path.read_bytes())
  for place in (4, data.index(b"data") + 4):
    data[place : place + 4] = size.to_bytes(4, "little")
  path.write_bytes(data)
  np.testing.assert_allclose(
    sound.read_audio(path).samples, clips.tone(1), atol=1e-4
  )


def _adts(path, *parts):
  """Raw AAC whose parts differ in rate or channels, one behind another."""
  data = b""
  for index, (seconds, rate, channels) in enumerate(parts):
    piece = path.with_name(f"{index}.aac")
    with av.open(str(piece), "w", format="adts") as container:
      wave = media_files.chirp(seconds, rate, channels)
      media_files.mux(
        container, media_files.sound_packets(container, "aac", wave, rate)
      )
    data += piece.read_bytes()
  path.write_bytes(data)


@pytest.mark.parametrize(
  "parts",
  [
    [(3, 44_100, 1), (3, 44_100, 2)],
    [(3, 44_100, 2), (3, 44_100, 1)],
    [(3, 22_050, 1), (3, 44_100, 1)],
    [(3, 48_000, 2), (3, 16_000, 1), (3, 44_100, 2)],
  ],
)
def test_a_stream_may_change_its_layout_and_rate(tmp_path, parts):
  path = tmp_path / "x.aac"
  _adts(path, *parts)
  found = sound.read_audio(path)
  lengths = [seconds for seconds, _, _ in parts]
  # An encoder adds up to two frames of 1024 samples to each part.
  assert found.kept == pytest.approx(sum(lengths), abs=0.13 * len(parts))
  for index, start in enumerate(np.cumsum([0, *lengths[:-1]])):
    heard = media_files.second_heard(found.samples, start + 1.5)
    assert heard == pytest.approx(1.5, abs=0.2 + 0.13 * index)


def _mp3(path, seconds=4.0, **options):
  with av.open(str(path), "w", options=options) as container:
    wave = media_files.chirp(seconds, 44_100)
    media_files.mux(
      container,
      media_files.sound_packets(container, "libmp3lame", wave, 44_100),
    )
  return bytearray(path.read_bytes())


@pytest.mark.parametrize("count", [20, 60, 100])
def test_a_frame_count_that_is_too_small_is_not_the_length(tmp_path, count):
  path = tmp_path / "x.mp3"
  data = _mp3(path)
  tag = max(data.find(b"Xing"), data.find(b"Info"))
  data[tag + 8 : tag + 12] = count.to_bytes(4)
  path.write_bytes(data)
  found = sound.read_audio(path)
  assert found.kept == pytest.approx(4, abs=0.06)
  assert media_files.second_heard(found.samples, 3.5) == pytest.approx(
    3.5, abs=0.15
  )


@pytest.mark.parametrize("count", [500, 1 << 24, (1 << 32) - 1])
def test_a_frame_count_that_is_too_large_is_not_allocated(tmp_path, count):
  path = tmp_path / "x.mp3"
  data = _mp3(path)
  tag = max(data.find(b"Xing"), data.find(b"Info"))
  data[tag + 8 : tag + 12] = count.to_bytes(4)
  path.write_bytes(data)
  media_files.fails("truncated", sound.read_audio, path)


def test_an_mp3_of_many_rates_without_a_tag_has_its_true_length(tmp_path):
  """The bit rate of its first frames would say something else."""
  path = tmp_path / "x.mp3"
  loud = np.random.default_rng(0).normal(0, 0.2, (1, 3 * 44_100))
  wave = np.concatenate([np.zeros((1, 44_100)), loud], axis=1)
  with av.open(str(path), "w", options={"write_xing": "0"}) as container:
    stream = container.add_stream("libmp3lame", rate=44_100, layout="mono")
    stream.codec_context.options = {"flags": "qscale", "q": "2"}
    stream.codec_context.qscale = True
    frame = av.AudioFrame.from_ndarray(
      wave.astype(np.float32), format="fltp", layout="mono"
    )
    frame.sample_rate = 44_100
    for packet in (*stream.encode(frame), *stream.encode()):
      container.mux(packet)
  assert sound.read_audio(path).kept == pytest.approx(4, abs=0.06)


@pytest.mark.parametrize(
  ("name", "options"),
  [
    ("x.mp4", {"later_sound": 1.0}),
    ("x.mkv", {"later_sound": 1.5}),
    ("x.ts", {"later_sound": 1.0}),
    ("x.flv", {"later_sound": 1.0, "video": "flv"}),
    ("x.mp4", {"later_sound": 5.0, "later_film": 4.0}),
    ("x.mkv", {"later_sound": 5.0, "later_film": 4.5}),
  ],
)
def test_sound_that_starts_late_stands_where_it_belongs(
  tmp_path, name, options
):
  path = media_files.write(tmp_path / name, 4.0, **options)
  late = options["later_sound"] - options.get("later_film", 0.0)
  found = sound.read_audio(path)
  assert media_files.second_heard(found.samples, late / 2) is None
  for second in (0.5, 1.5, 2.5):
    heard = media_files.second_heard(found.samples, late + second)
    assert heard == pytest.approx(second, abs=0.15)
  assert found.silence == pytest.approx(late, abs=0.05)


@pytest.mark.parametrize("name", ["x.mp4", "x.mkv", "x.ts"])
def test_what_is_heard_before_the_first_frame_is_left_out(tmp_path, name):
  path = media_files.write(tmp_path / name, 4.0, later_film=1.5)
  found = sound.read_audio(path)
  assert found.early == pytest.approx(1.5, abs=0.06)
  assert found.kept == pytest.approx(2.5, abs=0.1)
  assert found.seconds == pytest.approx(4.0, abs=0.1)
  for second in (0.5, 1.5):
    heard = media_files.second_heard(found.samples, second)
    assert heard == pytest.approx(second + 1.5, abs=0.15)


@pytest.mark.parametrize("name", ["x.mkv", "x.mp4", "x.ts", "x.mka", "x.nut"])
@pytest.mark.parametrize("hole", [(1.0, 2.5), (2.0, 2.4)])
def test_a_hole_is_silence(tmp_path, name, hole):
  video = None if name == "x.mka" else "mpeg4"
  path = media_files.write(tmp_path / name, 4.0, video=video, hole=hole)
  found = sound.read_audio(path)
  assert found.silence == pytest.approx(hole[1] - hole[0], abs=0.06)
  middle = (hole[0] + hole[1]) / 2
  assert media_files.second_heard(found.samples, middle + 0.05) is None
  for second in (0.5, 3.5):
    heard = media_files.second_heard(found.samples, second)
    assert heard == pytest.approx(second, abs=0.15)


def test_the_default_sound_is_heard(tmp_path):
  path = tmp_path / "x.mkv"
  with av.open(str(path), "w") as container:
    silent = np.zeros((2, 3 * 44_100), np.float32)
    film = media_files.film_packets(container, "mpeg4", media_files.greys(30))
    first = media_files.sound_packets(container, "aac", silent, 44_100)
    second = media_files.sound_packets(
      container, "aac", media_files.chirp(3, 44_100), 44_100
    )
    container.streams.audio[1].disposition = av.stream.Disposition.default
    media_files.mux(container, film, first, second)
  found = sound.read_audio(path)
  assert media_files.second_heard(found.samples, 1.5) == pytest.approx(
    1.5, abs=0.15
  )


def test_without_a_default_the_sound_of_most_channels_is_heard(tmp_path):
  path = tmp_path / "x.mkv"
  with av.open(str(path), "w") as container:
    silent = np.zeros((1, 3 * 44_100), np.float32)
    first = media_files.sound_packets(container, "aac", silent, 44_100)
    wave = media_files.chirp(3, 44_100, 2)
    second = media_files.sound_packets(container, "aac", wave, 44_100)
    media_files.mux(container, first, second)
  found = sound.read_audio(path)
  assert media_files.second_heard(found.samples, 1.5) is not None


@pytest.mark.parametrize("rate", [1000, 4000])
def test_packets_that_last_longer_than_their_sound_are_bad(tmp_path, rate):
  """As where a clock is damaged: a packet seems to last for a second."""
  path = media_files.write(tmp_path / "a.mp4", 0.02, video=None)
  data = bytearray(path.read_bytes())
  clock = data.index(b"mdhd") + 16  # behind version, flags and two dates
  assert data[clock : clock + 4] == (44_100).to_bytes(4)
  data[clock : clock + 4] = rate.to_bytes(4)
  path.write_bytes(data)
  with pytest.raises(statuses.RecordError) as caught:
    sound.read_audio(path)
  assert caught.value.status == "bad_audio"
  assert "do not decode" in caught.value.reason


def test_memory_is_that_of_the_result(tmp_path):
  """A file is read in blocks, whatever its rate and channels."""
  path = tmp_path / "x.flac"
  wave = np.zeros((200 * 48_000, 2), np.int16)  # 200 s: 77 MB as float32
  soundfile.write(path, wave, 48_000)
  tracemalloc.start()
  found = sound.read_audio(path)
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert found.kept == pytest.approx(200)
  # The blocks and the whole, and a few blocks of input.
  assert peak < 2 * found.samples.nbytes + 4e6
