"""Quoted mail and signatures in texts of people, as help desks export them: recognised, and left out.

A text is cut only where a mail program began to quote: below a line such as `On ... wrote:`, the lines that
begin with `>`, or all of the rest. A block quote of Markdown without such a line is the writer's, and so are
code between fences and a mail that is forwarded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

LEFT_OUT = "quoted mail or a signature was left out"
WROTE, HEADERS, DIVIDER, REPLY_LINE, SIGNATURE = (
    "On ... wrote:",
    "From: ... Sent: ...",
    "-----Original Message-----",
    "##- ... -##",
    "-- ",
)
"""What quoted mail or a signature begins with, in any of the languages below."""

_LEADS = re.compile(r"(?:On|Am|Le|El|Il|Op|Em|Den|Dnia|W dniu|Dne)\b", re.IGNORECASE)
_WROTE = re.compile(
    r"\b(?:wrote|schrieb|a écrit|escribió|ha scritto|schreef|escreveu|napisał(?:\(a\)|a)?|napsal(?:\(a\)|a)?"
    r"|skrev)(?!\w)",
    re.IGNORECASE,
)
_BY_NOBODY = re.compile(
    r"\b(?:(?:you|I|we|they|he|she) wrote|(?:ich|er|sie|es|wir) schrieb|schrieb (?:ich|er|sie|es))\b",
    re.IGNORECASE,
)
"""A mail program writes a name: this is a sentence of the writer's own."""
_DATED = re.compile(r"\A\d{4}-\d\d-\d\d\b")
_ADDRESS = re.compile(r"[^\s<>\[\]()@]@[^\s<>\[\]()@]")
_TIME = re.compile(r"\b\d{1,2}[:.h]\d\d\b")
_CLOCK = re.compile(r"\b\d{1,2}[:h]\d\d\b")
_YEAR = re.compile(r"\b(?:19[89]\d|20\d\d)\b|\b\d{1,2}[./-]\d{1,2}[./-]\d\d\b")
_ORIGINAL = re.compile(
    r"\s*[-_=*]{2,}\s*(?:original (?:message|e?-?mail)|ursprüngliche (?:nachricht|e-?mail)"
    r"|message d[’']origine|message original|mensaje original|messaggio originale"
    r"|oorspronkelijk bericht|mensagem original"
    r"|wiadomość oryginalna|oryginalna wiadomość|původní zpráva|ursprungligt meddelande|oprindelig meddelelse"
    r"|opprinnelig melding)\s*[-_=*]{2,}\s*",
    re.IGNORECASE,
)
_FORWARDED = re.compile(
    r"[\s\-_=*]*(?:begin )?(?:forwarded (?:message|mail)|weitergeleitete (?:nachricht|mail|e-mail)"
    r"|message transféré|mensaje reenviado|messaggio inoltrato|doorgestuurd bericht|mensagem encaminhada"
    r"|vidarebefordrat meddelande|videresendt (?:meddelelse|melding)|wiadomość przekazana)[\s\-_=*:]*",
    re.IGNORECASE,
)
_MARKER = re.compile(r"\s*##-.{0,200}-##\s*")
_RULE = re.compile(r"[\s>]*[-_=*]{5,}\s*")
_FIELD = r"[\s*_]*(?:{names})\s*\**:\**(?:\s|\Z)"
_FROM = re.compile(_FIELD.format(names="From|Von|De|Da|Van|Fra|Från|Od|Expéditeur|Remitente"))
_SENT_OR_SUBJECT = re.compile(
    _FIELD.format(
        names="Sent|Gesendet|Envoyé(?: le)?|Enviado(?: el| em)?|Inviato|Verzonden|Sendt|Skickat|Wysłano"
        "|Odesláno|Subject|Betreff|Objet|Asunto|Assunto|Oggetto|Onderwerp|Emne|Ämne|Temat|Předmět"
    )
)
_OTHERS = re.compile(
    _FIELD.format(
        names="To|Cc|Date|Reply-To|An|Datum|À|Date|Para|Fecha|Data|A|Aan|Til|Dato|Till|Kopia|Kopie|Do|Komu|Copie"
    )
)
_LINE_END = re.compile(r"\r\n|\r|\n")
_FENCE = re.compile(r"\s{0,3}(?:```|~~~)")
_LONGEST_HEADER, _HEADER_LINES, _FIELDS = 300, 3, 8
_LONGEST_SIGNATURE = 12
"""Lines with text below `-- `, above which it is no signature."""


class OwnWords(NamedTuple):
    """A text without quoted mail and signature."""

    text: str
    marks: tuple[str, ...] = ()
    """What the parts that are left out begin with, each once; empty if nothing is."""


@dataclass
class QuotesSeen:
    """How many of some texts have quoted mail or a signature, and how it begins."""

    texts: int = 0
    found: int = 0
    marks: dict[str, None] = field(default_factory=dict)

    def add(self, texts: Sequence[str]) -> None:
        """Count one case, whose texts belong together."""
        self.texts += 1
        marks = [mark for text in texts for mark in own_words(text).marks]
        self.found += bool(marks)
        self.marks |= dict.fromkeys(marks)

    def in_words(self, what: str) -> str:
        """Return how many cases have it, as in `2 of 20 replies have quoted mail (On ... wrote:)`."""
        if not self.found:
            return ""
        kinds = [*(["quoted mail"] if self.marks.keys() - {SIGNATURE} else [])]
        kinds += ["a signature"] if SIGNATURE in self.marks else []
        has = "has" if self.found == 1 else "have"
        shown = ", ".join(f'"{mark}"' for mark in self.marks)
        return f"{self.found:,} of {self.texts:,} {what} {has} {' or '.join(kinds)} ({shown})"


def own_words(text: str) -> OwnWords:
    """Return what the writer of a mail wrote, without the mail that it quotes and without the signature.

    A text that would be empty without them is returned as it is.
    """
    lines = _LINE_END.split(text)
    kept: list[str] = []
    marks: dict[str, None] = {}
    for part in _parts(lines):
        if part.mark:
            marks[part.mark] = None
        elif not (marks and not part.line.strip() and not (kept and kept[-1].strip())):
            kept.append(part.line)
        if part.mark and part.mark != WROTE:
            while kept and (not kept[-1].strip() or (part.mark == HEADERS and _RULE.fullmatch(kept[-1]))):
                kept.pop()
    own = "\n".join(kept).strip()
    return OwnWords(own, tuple(marks)) if marks and own else OwnWords(text)


class _Part(NamedTuple):
    line: str
    mark: str = ""
    """What the part that this line belongs to begins with, if it is not the writer's own."""


def _parts(lines: Sequence[str]) -> Iterator[_Part]:
    """Yield the lines of a text, those that are not the writer's own with their mark."""
    number, is_fenced, is_quoting = 0, False, False
    while number < len(lines):
        line = lines[number]
        is_fenced = is_fenced != bool(_FENCE.match(line))
        length, mark = 0, ""
        if is_fenced:
            pass
        elif is_quoting and _is_quoted(line):
            length, mark = 1, WROTE
        elif length := _signature(lines, number):
            mark = SIGNATURE
        elif _may_begin(line):
            if _FORWARDED.fullmatch(line):
                yield from map(_Part, lines[number:])
                return
            if mark := _mark_of_rest(lines, number):
                length = len(lines) - number
            elif length := _attribution(lines, number):
                mark, is_quoting = WROTE, True
        yield from (_Part(one, mark) for one in lines[number : number + max(length, 1)])
        number += max(length, 1)


def _mark_of_rest(lines: Sequence[str], number: int) -> str:
    """Return the mark of a line below which nothing is the writer's own; empty for any other line."""
    if _ORIGINAL.fullmatch(lines[number]):
        return DIVIDER
    if _MARKER.fullmatch(lines[number]):
        return REPLY_LINE
    if _FROM.match(lines[number]) and _are_headers(lines, number):
        return HEADERS
    header = _attribution(lines, number)
    if header and not _quotes_next(lines, number + header):
        return WROTE
    return ""


def _are_headers(lines: Sequence[str], number: int) -> bool:
    """Return True if the fields of a mail's header begin at a line: its sender, when and about what."""
    block = [line for line in lines[number + 1 : number + 2 * _FIELDS] if line.strip()][:_FIELDS]
    fields = [line for line in block if _SENT_OR_SUBJECT.match(line) or _OTHERS.match(line)]
    told = [lines[number], *fields]
    is_mail = any(_ADDRESS.search(line) or _TIME.search(line) for line in told)
    return is_mail and len(fields) > 1 and any(map(_SENT_OR_SUBJECT.match, fields))


def _attribution(lines: Sequence[str], number: int) -> int:
    """Return how many lines say who wrote what follows, as in `On Tue, 3 Nov 2026 at 10:12, Ms Lee wrote:`.

    A year is enough if quoted lines follow; otherwise it takes a time or an address, as mail programs write.
    """
    first = lines[number].strip()
    has_lead = _LEADS.match(first) is not None
    for length in range(1, (_HEADER_LINES if has_lead else 1) + 1):
        header = [line.strip() for line in lines[number : number + length]]
        said = " ".join(header)
        is_another = length > 1 and _LEADS.match(header[-1]) and re.search(r"\d", header[-1])
        if len(header) < length or not header[-1] or is_another or len(said) > _LONGEST_HEADER:
            return 0
        if not said.endswith((":", "：")):
            continue
        is_quoted = _quotes_next(lines, number + length)
        is_dated = bool(_CLOCK.search(said) or _ADDRESS.search(said) or (is_quoted and _YEAR.search(said)))
        is_said = bool(_WROTE.search(said)) or (
            is_quoted and bool(_DATED.match(said) and _ADDRESS.search(said))
        )
        is_named = is_quoted or (has_lead and not _BY_NOBODY.search(said))
        return length if is_dated and is_said and is_named else 0
    return 0


def _quotes_next(lines: Sequence[str], number: int) -> bool:
    """Return True if the next line with text is quoted."""
    while number < len(lines) and not lines[number].strip():
        number += 1
    return number < len(lines) and _is_quoted(lines[number])


def _is_quoted(line: str) -> bool:
    return line.lstrip().startswith(">")


def _signature(lines: Sequence[str], number: int) -> int:
    """Return how many lines a signature has that begins at a line; 0 if none begins there."""
    line = lines[number]
    is_bare = line == "--" and (number == 0 or not lines[number - 1].strip())
    if line != SIGNATURE and not is_bare:
        return 0
    end, held = number + 1, 0
    while end < len(lines) and held <= _LONGEST_SIGNATURE and not _is_mail(lines, end):
        held += bool(lines[end].strip())
        end += 1
    return end - number if held <= _LONGEST_SIGNATURE else 0


def _is_mail(lines: Sequence[str], number: int) -> bool:
    """Return True if quoted or forwarded mail begins at a line."""
    if not _may_begin(lines[number]):
        return False
    begins = _mark_of_rest(lines, number) or _attribution(lines, number)
    return bool(begins or _FORWARDED.fullmatch(lines[number]))


def _may_begin(line: str) -> bool:
    """Return False for a line with which certainly neither quoted nor forwarded mail begins."""
    text = line.strip()
    return len(text) > 3 and (
        text[0] in "-_=*#" or text.endswith((":", "：")) or bool(_LEADS.match(text) or _FROM.match(text))
    )
