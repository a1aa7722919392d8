"""The released METEOR 1.5, PTB tokenizer and SPICE, where they are there.

`pip install 'crab_jax[captions]'` brings them (pycocoevalcap, 101 MB); `java` must
be on the PATH. Nothing is downloaded here: SPICE runs only where its models have
been fetched by its own script. METEOR needs about 10 seconds to start, so what
is scored often does without it (`meteor`).
"""

import importlib.util
import pathlib
import subprocess

_PACKAGE = "pycocoevalcap"
_JAVA = ("java",)
_SPICE = f"{_PACKAGE}.spice"
# Of Stanford CoreNLP; the package would download them if they were not there.
_MODELS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
_BAR = "|||"  # separates the texts that METEOR reads


class Unavailable(Exception):
  """The programs are not there or failed; the message says why."""


def require() -> None:
  """Raises Unavailable where the package or a Java that starts is missing."""
  if importlib.util.find_spec(_PACKAGE) is None:
    raise Unavailable("pip install 'crab_jax[captions]' brings it")
  try:
    # Run, as some systems have a java that only asks for one to be installed.
    subprocess.run([*_JAVA, "-version"], capture_output=True, check=True)
  except (OSError, subprocess.CalledProcessError) as error:
    raise Unavailable("no java starts from the PATH") from error


def tokens(texts: list[str]) -> list[list[str]]:
  """The PTB tokens of each text, in lower case and without punctuation.

  Raises:
    Unavailable: the tokenizer is not there or failed.
  """
  require()
  from pycocoevalcap.tokenizer import ptbtokenizer

  # The tokenizer takes a text a line, and other characters than \n break one.
  lines = {i: [{"caption": " ".join(t.split())}] for i, t in enumerate(texts)}
  try:
    found = ptbtokenizer.PTBTokenizer().tokenize(lines)
    return [found[i][0].split() for i in lines]
  except Exception as error:  # of the package, of Java, of the pipe between
    raise Unavailable(f"the PTB tokenizer failed: {error!r}") from error


def meteor(
  references: list[list[str]], candidates: list[list[str]]
) -> list[float]:
  """METEOR of each pair of captions, by all four of its stages.

  Args:
    references: PTB tokens of each true caption.
    candidates: those of the caption said.

  Raises:
    Unavailable: METEOR is not there or failed.
  """
  require()
  from pycocoevalcap.meteor import meteor as released

  true, said = _texts(references), _texts(candidates)
  try:
    return list(released.Meteor().compute_score(true, said)[1])
  except Exception as error:  # of the package, of Java, of the pipe between
    raise Unavailable(f"METEOR failed: {error!r}") from error


def _texts(captions: list[list[str]]) -> dict[int, list[str]]:
  """Captions as the package takes them: a list of one text each, by number."""
  return {
    i: [" ".join(words).replace(_BAR, "")] for i, words in enumerate(captions)
  }


def spice(
  references: list[list[str]], candidates: list[list[str]]
) -> list[float]:
  """SPICE of each pair of captions; NaN where neither has anything to match.

  Args:
    references: PTB tokens of each true caption.
    candidates: those of the caption said.

  Raises:
    Unavailable: SPICE or its models are not there, or it failed: it is written
      for Java 8.
  """
  require()
  spec = importlib.util.find_spec(_SPICE)
  folders = list(spec.submodule_search_locations or ()) if spec else []
  if not any(
    all((pathlib.Path(folder, "lib", name)).is_file() for name in _MODELS)
    for folder in folders
  ):
    raise Unavailable(
      f"its models are missing: python -m {_SPICE}.get_stanford_models"
      " downloads them"
    )
  from pycocoevalcap.spice import spice as released

  true, said = _texts(references), _texts(candidates)
  try:
    found = released.Spice().compute_score(true, said)[1]
    return [float(scores["All"]["f"]) for scores in found]
  except Exception as error:  # of the package, of Java, of the files between
    raise Unavailable(f"SPICE failed: {error!r}") from error
