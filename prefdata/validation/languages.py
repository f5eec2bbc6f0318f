"""In which language a text in Latin letters is written, told by its function words: the small words of every sentence.

A handful of them names a language surely, without a model. A text that is short or mixed, a list of names or code has
no language here, which is right for a rule that is to be believed.
"""

from __future__ import annotations

import re
from collections import Counter

LOOKED_AT = 600
"""Characters at the start of a text that are looked at."""
FIRST = 120
"""Characters at its start in which a text that is not English must hold function words that English has not."""
LEAST_CHARACTERS = 80
"""Shorter texts hold too few function words to be told by them."""
LEAST, TIMES = 2.0, 2.0
"""What a language's words must come to, and how many times as much as those of any other."""
LEAST_WORDS = 3
"""Different ones of them that must stand in the text."""
SAME_WORDS = 2
"""Different ones at the beginning of two texts by which they are taken to be of one language."""
WORDS = {
    "English": (
        "the of and to in is that it for was with you are this have be not on as at by from or an but they "
        "which can will your has his her their what there if would about who we were been more some how when "
        "than our he she my these those into because could should its where does did just"
    ),
    "Spanish": (
        "de la que el en y los del se las por un para con no una su al lo como más pero sus le ya este porque "
        "esta son entre está cuando muy sin sobre ser tiene también fue hay puede es"
    ),
    "French": (
        "de la le et les des en un du une que est pour qui dans par plus pas au sur ne se ce il sont avec ou "
        "son mais comme nous vous cette aux être fait peut je elle"
    ),
    "German": (
        "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden "
        "aus er hat dass sie nach wird bei einer um am sind noch wie oder ich"
    ),
    "Italian": (
        "di e il la che in un a per è una con non sono si da del le i come dei nel alla della ma anche più "
        "questo gli delle può essere ed"
    ),
    "Portuguese": (
        "de a o que e do da em um para com não uma os no se na por mais as dos como mas ao ele das à seu sua "
        "ou quando muito nos já também pelo pela é são você pode"
    ),
    "Dutch": (
        "de het een en van in is dat op te zijn met voor niet aan er om ook als dan maar bij uit nog naar "
        "heeft hij wordt deze kan je of"
    ),
    "Swedish": (
        "och i att det som en på är av för med till den har de inte om ett han men var jag från vi så kan när eller"
    ),
    "Danish or Norwegian": (
        "og i at det som en på er af av for med til den har de ikke om et han men var jeg fra vi så kan når eller"
    ),
    "Polish": "i w nie na z do się to że jest o jak ale po co za od tak być dla przez oraz są",
    "Turkish": "ve bir bu da de için ile çok olarak daha gibi kadar olan ama ne var olduğu",
    "Indonesian": "yang dan di untuk dengan ini itu dari tidak pada adalah dalam akan atau juga ke dapat",
    "Vietnamese": "và là của có không cho được các một trong người những với để này",
    "Romanian": "și de în la cu nu o pe care un din este să mai ce pentru sunt sau",
    "Czech": "a je se na že v to s z do o i jako ale by pro jsou nebo které jak aby být tak také když",
    "Hungarian": "a az és hogy nem is egy ez de van csak meg vagy",
    "Finnish": "ja on ei se että oli hän mutta niin kun ovat myös tai",
}
KEYWORDS = frozenset(
    ["and", "as", "by", "do", "else", "for", "from", "if", "in", "is", "not", "of", "on", "or", "to", "while", "with"]
)
"""Words of programs too: they count for no language."""
_SHARED = Counter(word for words in WORDS.values() for word in words.split() if len(word) > 1 and word not in KEYWORDS)
_LANGUAGES: dict[str, tuple[str, ...]] = {
    word: tuple(name for name, words in WORDS.items() if word in words.split()) for word in _SHARED
}
"""In which languages a word is a function word; it counts for each of them by so much less."""
_FOREIGN = frozenset(_SHARED) - frozenset(WORDS["English"].split())
_NONE: frozenset[str] = frozenset()
_WORD = re.compile(r"[^\W\d_]{2,}")
"""Single letters are what an apostrophe leaves, or an address."""


def language_of(text: str) -> str | None:
    """The language in which a text in Latin letters is plainly written; ``None`` where none is plain.

    >>> language_of("The capital of France is Paris, and it is one of the largest cities that there are in Europe.")
    'English'
    >>> language_of("La capital de Francia es París, y es una de las ciudades más grandes que hay en Europa.")
    'Spanish'
    >>> language_of("print(x)") is None
    True
    """
    prose = " ".join(text.split("```")[::2]) if "```" in text else text
    scores: dict[str, float] = {}
    different: dict[str, set[str]] = {}
    for word in _WORD.findall(prose[:LOOKED_AT].lower()):
        languages = _LANGUAGES.get(word, ())
        for name in languages:
            scores[name] = scores.get(name, 0) + 1 / len(languages)
            different.setdefault(name, set()).add(word)
    most = max(scores, key=scores.__getitem__, default=None)
    if most is None or scores[most] < LEAST or len(different[most]) < LEAST_WORDS:
        return None
    second = max((score for name, score in scores.items() if name != most), default=0)
    plain = scores[most] >= TIMES * second and (most == "English" or len(foreign_words(text)) >= LEAST_WORDS)
    return most if plain else None


def foreign_words(text: str) -> frozenset[str] | set[str]:
    """Function words with which a text begins that English has not; none where it is plainly English, or short."""
    if len(text) < LEAST_CHARACTERS or plainly_english(text):
        return _NONE
    return _FOREIGN.intersection(text[:FIRST].lower().split())


def plainly_english(text: str) -> bool:
    """Whether a text holds one of the words that nearly all English texts hold, and hardly one of another language."""
    return " the " in text or " and " in text or " you " in text or " that " in text or " this " in text


def may_differ(one: str, other: str) -> bool:
    """A test that costs little, and without which two texts are not taken to be of two languages.

    Near relatives, such as Spanish and Portuguese, begin with the same words and may be taken for one.
    """
    mine, theirs = foreign_words(one), foreign_words(other)
    return (len(mine) >= LEAST_WORDS or len(theirs) >= LEAST_WORDS) and len(mine & theirs) < SAME_WORDS
