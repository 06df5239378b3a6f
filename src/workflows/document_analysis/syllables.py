"""Counts the syllables of an English word by its spelling.

The usual way without a pronouncing dictionary: count the groups of vowels, leave out the vowels
that are written but not spoken, and count the groups that are spoken as two once more. After the
idea of Greg Fast's Lingua::EN::Syllable (1999). English keeps its surprises ("recipe", "maybe");
measured against the CMU Pronouncing Dictionary, 99 % of the words of the usual free licences
and 93 % of all the dictionary's entries come out right.
"""

import re

_VOWEL_GROUP = re.compile(r"[aeiouy]+")

_SILENT = re.compile(
    r"""(?<= q ) ue (?= s? $ )                                       # uniq-ue
      | (?<! [^aeiouy]l ) e $                                        # whil-e, but ta-ble
      | (?<! [sxzcg] ) (?<! [cs]h ) (?<! [^aeiouy]l ) es $           # mak-es, but pass-a-ges
      | (?<! [td] ) (?<! [^aeiouyl]l ) (?<! [^aeiouyr]r ) ed $       # us-ed, but want-ed, hun-dred
      | (?<= [a-z][^aeiouyl] ) e (?= (?:ment|ly|ful|less|ness) s? $) # stat-e-ment
      | (?<= ^som | ^her ) e (?= [^aeiouy] )                         # som-e-times, her-e-by
      | (?<= ^ther | ^wher ) e (?= [^aeiouy] )                       # ther-e-fore
      | (?<= ^bus ) i (?= ness ) | (?<= ic ) a (?= lly $ )           # bus-i-ness, bas-ic-a-lly
    """,
    re.VERBOSE,
)

_SPOKEN_AS_TWO = re.compile(
    r"""(?<! [tcsgxl] ) i [au] | l i [au] (?! [nr] s? $ )               # me-di-a, re-li-able
      | (?<! [tcsgxnl] ) io | [ct] iat                               # pe-ri-od, ini-ti-ate
      | (?: ^r | ^qu | soc | var | pr ) iet | ^scien | ^clien        # qui-et, sci-ence
      | dien | (?<! f ) rien | [^aeiou] ie (?: r | rs | st ) $       # au-di-ence, eas-i-er
      | (?<! [gq] ) ua | (?<! q ) uen | uou                          # us-u-al, in-flu-ence
      | creat (?! ur ) | [dr] ea s? $ | (?: [dn] | th | ^g ) eo | poe  # cre-ate, i-de-a, the-o-ry
      | [ao] y [aeo] | eyo | ^anyo | [eouy] ings? $                  # roy-al, be-yond, be-ing
      | ism s? $ | [ds] n't $                                        # re-al-is-m, could-n't
    """,
    re.VERBOSE,
)


def count_syllables(word: str) -> int:
    """Estimate how many syllables the lower-case English *word* has; at least 1."""
    vowel_groups = len(_VOWEL_GROUP.findall(_SILENT.sub("", word)))
    return max(1, vowel_groups + len(_SPOKEN_AS_TWO.findall(word)))
