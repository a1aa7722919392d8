"""The language of a text."""

import pytest

from tests.annotation.checking import cases

# check -> (row, what must pass, what must not)
_CASES = {
  "language": (
    cases.EMOTION,
    "|".join(
      f"The man {verb} at the table and the voice is loud in the room, as it was."
      for verb in ["sits", "stands", "shouts", "waits", "leans", "turns", "moves", "points", "looks", "stays"]
    )
    + "|"
    + "|".join(
      f"A {who} is seen with the hands up, and what is heard is a cry."
      for who in ["woman", "girl", "boy", "person", "child", "man", "guest", "host", "nurse", "cook"]
    ),
    """Der Mann sitzt am Tisch und die Stimme ist laut in dem Raum.
    Die Frau ist zu sehen und man hört eine laute Stimme dazu.
    Das Bild zeigt einen Mann, der wütend aussieht und laut spricht.
    Le visage de la femme est fermé et la voix est forte.
    Un homme est assis à la table et il parle très fort.
    La mujer está en la casa y la voz es muy fuerte.
    El hombre grita con las manos en alto y no se mueve.
    La donna è nella casa e la voce è molto forte.
    O homem está na casa e a voz é muito forte.
    画面中一个男人坐在桌子旁边大声说话。|男の人が大きな声で話しています。
    Мужчина сидит за столом и громко говорит.|남자가 큰 소리로 말하고 있다.
    الرجل يجلس على الطاولة ويتكلم بصوت عال.|人物表情愤怒，声音很大，动作激烈。
    Mężczyzna siedzi przy stole i mówi bardzo głośno do swojej żony.
    Mannen sitter vid bordet, rösten hörs högt över hela rummet där.
    De man zit aan tafel terwijl zijn stem luid klinkt door kamer.
    Adam masada oturuyor ve yüksek sesle konuşuyor, eller havada.
    Férfi ül asztalnál, hangosan beszél, keze magasban mozog gyorsan.""",
  ),
}  # fmt: skip


@pytest.mark.parametrize("code", _CASES)
def test_twenty_pass_and_twenty_do_not(code):
  cases.require(code, *_CASES[code], tail="")
