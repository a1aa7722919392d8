"""What `predict` leaves on the disk: answers.json and its pictures, together."""

from crab_jax import files

FILE = "answers.json"


def write(
  out: files.Path, pictures: dict[str, bytes], said: list[dict]
) -> None:
  """Writes answers.json after its pictures: where it is, they are.

  An error before the first of them has its name leaves what was there.

  Args:
    out: the folder; made if it is not there.
    pictures: by file name.
    said: the content of answers.json.

  Raises:
    OSError: the disk is full, or the folder cannot be written.
  """
  contents = {**pictures, FILE: files.json_document(said)}
  files.write_together(out, contents, last=FILE)
