"""Words that have an order: amounts, sizes, risks, response to treatment, stages of a disease."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Span = tuple[float, float]
"""Where a class lies on a scale: a point twice, or the ends of a range."""


@dataclass(frozen=True)
class Spans:
    """Where each of several classes lies.

    Attributes:
        values: In the order of the classes.
        why: By what they were placed, if the reader has more to say than its name.
        directed: Whether the last class has more of something.
    """

    values: Sequence[Span]
    why: str = ""
    directed: bool = True

    @classmethod
    def points(cls, values: Sequence[float], directed: bool = True) -> Spans:
        """Each class at one place."""
        return cls([(value, value) for value in values], directed=directed)


def normal(name: str) -> str:
    """Lower case, one form of each character, single blanks.

    Example:
        >>> normal(" Stage \u2162 "), normal("\u226550\u202f%")
        ('stage iii', '>=50 %')
    """
    text = unicodedata.normalize("NFKC", name).lower().replace("≥", ">=").replace("≤", "<=")
    return re.sub(r"\s+", " ", re.sub("[‐‑‒–—−]", "-", text)).strip()


def plain_words(name: str) -> str:
    """The same with blanks in place of hyphens and underscores."""
    text = normal(name)
    return re.sub(r"[\s_\-]+", " ", text).strip() or text


SCALES = (
    "none|absent|negative|neg|normal|no|nil|zero|null|0 < very low|minimal|trace|tiny|lowest < "
    "low|lower|mild|weak|weakly|small|slight|light < "
    "medium|moderate|moderately|intermediate|int|mid|middle < "
    "high|higher|severe|strong|strongly|large|marked|heavy < very high|extreme|very strong|massive|highest",
    "none|no|absent|negative|never|zero|0 < rare|rarely|isolated|scant|sparse|very few < "
    "few|a few|little|occasional|occasionally|seldom < some|several|sometimes|moderate < "
    "many|much|frequent|frequently|numerous|abundant|often|a lot < "
    "most|mostly|very many|very often < all|always",
    "none|no|absent|negative < focal|unifocal|single|solitary|localized|localised < "
    "multifocal|patchy|multiple < diffuse|extensive|generalized|generalised",
    "in situ < localized|localised|local < locally advanced|regional < distant|metastatic|disseminated",
    "early < middle|mid|intermediate < late|advanced|end stage",
    "underweight < normal|normal weight < overweight < obese < severely obese|morbidly obese",
    "young|younger < middle aged|middle < old|older|elderly",
    "child|children|pediatric|paediatric < adolescent|teenager < adult < elderly|senior",
    "never|never smoker|non smoker|nonsmoker < former|ex|ex smoker|former smoker < current|current smoker",
    "well < moderately|moderate < poorly|poor < undifferentiated|anaplastic",
    "very poor|very bad < poor|bad < fair|average|moderate|intermediate < good < very good < excellent",
    "good < moderate|intermediate < poor|bad",
    "very low < low|favorable|favourable|standard < favorable intermediate|favourable intermediate|"
    "int 1|intermediate 1|intermediate|int < unfavorable intermediate|unfavourable intermediate|int 2|"
    "intermediate 2 < high|adverse|unfavorable|unfavourable < very high",
    "normal|healthy < inflammation|inflamed|reactive < benign < metaplasia < hyperplasia < "
    "adenoma|atypia|atypical|borderline|premalignant < low grade dysplasia|lgd|mild dysplasia|dysplasia < "
    "moderate dysplasia < high grade dysplasia|hgd|severe dysplasia < "
    "carcinoma in situ|in situ|cis|dcis|in situ carcinoma < microinvasive < "
    "carcinoma|cancer|malignant|invasive|invasive carcinoma|adenocarcinoma|tumor|tumour < "
    "metastatic|metastasis",
    "normal|negative|nilm < ascus|asc us < lsil < asch|asc h < hsil < scc|carcinoma|cancer",
    "mss|stable < msi l|msil|msi low < msi|msi h|msih|msi high|unstable|instable",
    "wildtype|wild type|wt < heterozygous|het|monoallelic < homozygous|hom|biallelic",
    "homozygous deletion|deep deletion|homdel < deletion|loss|shallow deletion|hetloss < "
    "neutral|copy neutral|diploid|normal < gain|gained|low gain < amplification|amplified|amp",
    "decreased|decrease|lower|worse|worsened|down|reduced < unchanged|same|stable|no change|equal < "
    "increased|increase|higher|better|improved|up",
    "no|negative|neg < unlikely < possible|maybe|equivocal|borderline|indeterminate|suspicious < "
    "likely|probable < yes|definite|certain|positive|pos",
    "negative|neg|zero < ultra low|ultralow < low|low positive|weak positive|weakly positive < "
    "positive|pos|moderate positive < high|strong positive|strongly positive|high positive",
    "immune desert|desert|cold < immune excluded|excluded|altered < immune inflamed|inflamed|hot",
    "absent|none < non brisk|nonbrisk < brisk",
    "none|no|absent|0 < minimal < partial|incomplete < near complete|subtotal < complete|total",
    "xs|extra small < s|small < m|medium < l|large < xl|extra large < xxl",
    "vl < l|lo < m|med|mid|int < h|hi < vh",
    "kein|keine|negativ < sehr niedrig < gering|niedrig|leicht|wenig|wenige|schwach < "
    "mittel|mäßig|mässig|einige < hoch|schwer|stark|viel|viele < sehr hoch",
    "aucun|aucune|négatif < faible|bas|léger < moyen|modéré < fort|haut|élevé|sévère",
    "ninguno|ninguna|negativo < bajo|baja|leve < medio|media|moderado|moderada < alto|alta|"
    "grave|severo|severa",
    "nessuno|nessuna|negativo < basso|bassa|lieve < medio|media|moderato|moderata < alto|alta|grave|severo",
)
"""Words with an order, least first; those that say the same stand beside each other."""
RESPONSE = (
    "progressive disease|pd|pmd|progression|progressive|progressed|no response|non response|non responder|"
    "nonresponder|nr < stable disease|sd|smd|stable|no change < minor response|minor|minimal response|mr < "
    "partial response|partial remission|partial remission/response|partial responder|partial|pr|pmr < "
    "very good partial response|very good partial|vgpr < near complete response|near complete|ncr|cri < "
    "complete response|complete remission|complete remission/response|complete responder|complete|cr|cmr|"
    "pcr < "
    "stringent complete response|scr"
)
"""Response to treatment, worst first."""
COUNTED = (
    "first|1st|primary < second|2nd|secondary < third|3rd|tertiary < fourth|4th|quaternary < fifth|5th",
    "short|shorter|short term < medium|intermediate < long|longer|long term",
    "zero < one < two < three < four < five < six < seven < eight < nine < ten",
)
NOISE = re.compile(
    r"\b(risk|grade|grades|level|levels|expression|group|stage|degree|category|differentiated|differentiation|"
    r"disease|smoker|quality|intensity|staining|amount|uptake|risiko|risque|riesgo|rischio)\b"
)
"""Words that say nothing of the order."""


def _scale(text: str) -> dict[str, float]:
    return {
        word: float(level)
        for level, words in enumerate(re.split(r"\s+<\s+", text))
        for word in words.split("|")
    }


def _level(scale: Mapping[str, float], text: str) -> float | None:
    full = plain_words(text)
    return scale.get(full, scale.get(" ".join(NOISE.sub(" ", full).split())))


def word_reader(text: str, why: str = "", directed: bool = True) -> Callable[[Sequence[str]], Spans | None]:
    """A reader of the words of one scale; ``low/intermediate`` lies from the one to the other.

    Args:
        text: Levels divided by ``<``, words of one level by ``|``.
        why: For the user, where more is to be said than that words were read.
        directed: Whether the last level has more of something.
    """
    scale = _scale(text)

    def read(texts: Sequence[str]) -> Spans | None:
        spans = []
        for each in texts:
            parts = [each] if _level(scale, each) is not None else re.split(r"\s*/\s*|\s+or\s+", each)
            known = [level for part in parts if (level := _level(scale, part)) is not None]
            if len(known) < len(parts):
                return None
            spans.append((min(known), max(known)))
        return Spans(spans, why, directed)

    return read
