"""Characters that stand for ASCII ones: full-width forms, escapes, spaces.

Chinese models write `＜answer＞`, `（3，7）` or digits of full width; what was
taken from a web page or from JSON has `&lt;answer&gt;` or `<\\/answer>`.
"""

import html

_OFFSET = 0xFEE0  # from a full-width character to its ASCII one

_PLAIN: dict[int, str] = {
  **{code: chr(code - _OFFSET) for code in range(0xFF01, 0xFF5F)},
  **dict.fromkeys(map(ord, "\u00a0\u2007\u202f\u3000"), " "),  # wide spaces
  **dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff"), ""),  # no width
  **dict(zip(map(ord, "【〔［「〖"), "[[[[[", strict=True)),
  **dict(zip(map(ord, "】〕］」〗"), "]]]]]", strict=True)),
  **dict(zip(map(ord, "〈〉《》‹›"), "<><><>", strict=True)),
  **dict(zip(map(ord, "、。∶：〜∼‐‑‒―−"), ",.::~~-----", strict=True)),
}


def plain(text: str) -> str:
  """The text with ASCII characters in the place of their other forms."""
  text = text.translate(_PLAIN)
  if "&" in text:
    text = html.unescape(text)
  return text.replace("<\\/", "</")
