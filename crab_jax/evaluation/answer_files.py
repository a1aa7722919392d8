"""What `predict` leaves on the disk: answers.json and its pictures, together."""

import json
import pathlib
import tempfile

FILE = "answers.json"


def write(
  out: pathlib.Path, pictures: dict[str, bytes], said: list[dict]
) -> None:
  """Writes all under other names, then renames; answers.json comes last.

  An error before the renames leaves what was there; where answers.json is, its
  pictures are.

  Args:
    out: the folder; made if it is not there.
    pictures: by file name.
    said: the content of answers.json.

  Raises:
    OSError: the disk is full, or the folder cannot be written.
  """
  out.mkdir(parents=True, exist_ok=True)
  text = json.dumps(said, indent=1, ensure_ascii=False) + "\n"
  with tempfile.TemporaryDirectory(dir=out, prefix=".incomplete_") as folder:
    new = pathlib.Path(folder)
    for name, data in {**pictures, FILE: text.encode()}.items():
      (new / name).write_bytes(data)
    (out / FILE).unlink(missing_ok=True)
    for name in (*pictures, FILE):
      (new / name).rename(out / name)
