"""The page on what reaches whom, written from what the dialects build.

In: nothing. Out: Markdown. No cell is written by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .answers import told
from .columns import ANSWERING, COLUMNS, OPENAI, OTHER_MODELS, VENDORS, Column
from .features import FEATURES
from .probes import PROBES
from .words import WORDS, Word, is_needless, word

_HEAD = """\
# What reaches whom

A request in OpenAI's form may go to any provider. What becomes of each of its features there:

- **passed**: it is there under the same name, in the same place, with the same value.
- **mapped**: the provider is told it in words of its own. In part: something within it has no
  words there, and is named.
- **dropped**: it is left out, and named in a header of the answer:
  `x-waystone-dropped: logit_bias, messages[].name`. Of many names it has the first, and how many
  more there are: at most a thousand bytes.
- **refused**: the request is answered with 400, `param` says where the feature stands, and nothing
  is sent.

With `strict = true`, for the gateway or for a provider ([Configuration](configuration.md)), what
would be dropped is refused as well: with a 400 that names it. Nothing is lost in silence: what says
something is sent, named or refused.
`null`, and what is OpenAI's default, says nothing.

`stream` and `stream_options` are the gateway's own business: it asks every provider for usage, and
tells it to those who want it. `metadata.waystone` is sent to nobody.

More on each: [Anthropic](anthropic.md), [Gemini and Vertex AI](gemini.md),
[AWS Bedrock](bedrock.md), and [vendors in their own words](vendors.md), where Cohere and Ollama
are.

`scripts/dialects` writes these tables: each dialect builds a request with the feature and one
without, and what it built is compared. A test holds them to what is built now, and fails where
something is lost in silence.
"""

_ANSWERS = """\
## Answers

Where a caller finds what a provider's answer says, beside its text: in the choice, its message, or
the answer. Where a cell is empty, the provider's answers have no such thing. These cells, too, are
found by comparing an answer with the feature and one without.
"""

_VENDORS = """\
## Vendors of OpenAI's form

What is not passed to them as it is to OpenAI. What they then make of it is theirs: not every model
takes every parameter.
"""

_MODELS = """\
## Other models

Some of it depends on the model. What becomes of what there, where that is not as above:
"""


def write() -> str:
    """The page."""
    parts = [_HEAD]
    for group in dict.fromkeys(probe.group for probe in PROBES):
        parts += (f"\n## {group}\n\n", _table(_rows(group)))
    parts += ("\n", _ANSWERS, "\n", _table(_answers()))
    parts += ("\n", _VENDORS, "\n", _differences("vendor", [(OPENAI, VENDORS)]))
    parts += ("\n", _MODELS, "\n", _differences("model", OTHER_MODELS.items()))
    return "".join(parts)


def _rows(group: str) -> Iterable[Sequence[str]]:
    yield ["", *(f"{column.name}<br>`{column.model}`" for column in COLUMNS)]
    for probe in PROBES:
        if probe.group == group:
            yield [probe.feature, *(word(column, probe) for column in COLUMNS)]


def _answers() -> Iterable[Sequence[str]]:
    yield ["", *(column.name.partition(",")[0] for column in ANSWERING)]
    for feature in FEATURES:
        found = [told(column, feature) or () for column in ANSWERING]
        yield [feature, *(", ".join(f"`{name}`" for name in names) for names in found)]


def _differences(what: str, compared: Iterable[tuple[Column, Sequence[Column]]]) -> str:
    """What becomes of which features elsewhere, where that is something else."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for column, others in compared:
        for other in others:
            found = _changes(column, other)
            if any(found):
                rows.setdefault(found, []).append(f"`{other.model}`")
    names = [what, *WORDS[:-1], "left out, not named"]
    lines = [[", ".join(models), *found] for found, models in rows.items()]
    used = [at for at in range(len(names)) if any(line[at] for line in lines)]
    return _table([[line[at] for at in used] for line in [names, *lines]])


def _changes(column: Column, other: Column) -> tuple[str, ...]:
    """For each word the features that it holds for at the other one only."""
    found: dict[Word, list[str]] = {name: [] for name in WORDS}
    for probe in PROBES:
        there = word(other, probe)
        if there != word(column, probe) and not is_needless(other, probe):
            found[there].append(probe.feature)
    return tuple(", ".join(features) for features in found.values())


def _table(rows: Iterable[Sequence[str]]) -> str:
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
