"""Searching a library finds exactly what a reading of the query, term by term, would choose."""

from __future__ import annotations

import json
import os
import unicodedata
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.libraries import known_file

from mlib.core.comfyui.folders import name_below
from mlib.core.formats.header import Finding
from mlib.core.query import FIELDS, Query, Term, Value, interval, mentions, parse
from mlib.core.records import Content, Model, Pending, Root
from mlib.core.tag_spelling import distinct
from mlib.db import contents, files, models, pending, roots, tags
from mlib.db.library import open_library
from mlib.db.search import Asked, Found, _below_root, search

if TYPE_CHECKING:
    from mlib.core.query import How
    from mlib.db.library import Library

NOW = 1_750_000_000_000
DAY = 86_400_000
ROOTS = ("/m/loras", "/m/ComfyUI/vae")
WORDS = [
    "anime",
    "Été",
    "ETE",
    "straße",
    "STRASSE",
    "50%",
    "a_b",
    "a\\b",
    "x,y",
    'q"q',
    "-1",
    "none",
    "\udcff",
]
TEXT_WORDS = [word for word in WORDS if word.isprintable()]


class Thing(NamedTuple):
    """A model, or a pending import, as a test keeps it and as it reads it."""

    sha: str
    pending: int | None = None
    name: str = "n"
    type: str = "loras"
    base: str = ""
    notes: str = ""
    size: int | None = None
    added: int = 0
    updated: int = 0
    tags: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()
    kind: str = ""
    format: str = ""
    findings: tuple[str, ...] = ()
    #: Root number or None, path below it, and whether a file is there.
    places: tuple[tuple[int | None, str, bool], ...] = ()


def folded(text: str) -> str:
    again = unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())
    return unicodedata.normalize("NFC", again)


def matches(text: str, value: Value, *, folds: bool = False) -> bool:
    """Texts whose wanted half is ASCII when folded differ only by the case of ASCII letters."""
    wanted = folded(value.text)
    ours = folded(text)
    if wanted.isascii() and not folds:
        ours = "".join(c.lower() if c.isascii() else c for c in text)
    return ours == wanted if value.how == "is" else wanted in ours


def some(texts: list[str], value: Value, *, folds: bool = False) -> bool:
    texts = [text for text in texts if text]
    if value.how in ("none", "any"):
        return (value.how == "any") == bool(texts)
    return any(matches(text, value, folds=folds) for text in texts)


def holds(thing: Thing, field: str, value: Value) -> bool:  # noqa: PLR0911 - a case each
    paths = [os.path.join(ROOTS[root] if root is not None else "/", path) for root, path, _ in thing.places]
    below = [path if root is not None else "/" + path for root, path, _ in thing.places]
    there = sum(present for *_, present in thing.places)
    if field == "":
        words = [thing.name, thing.notes, *below, *thing.triggers]
        return some(words, value) or some(list(thing.tags), value, folds=True)
    if field == "pending":
        return (thing.pending is not None) == (value.how == "yes")
    if field == "missing":
        return (there == 0) == (value.how == "yes")
    if field == "sha":
        return thing.sha.startswith(value.text)
    if FIELDS[field] in ("size", "moment", "count"):
        amount = there if field == "files" else getattr(thing, field)
        if value.how == "none":
            return amount is None
        low, high = interval(field, value, NOW)
        return amount is not None and (low is None or amount >= low) and (high is None or amount < high)
    if field == "tag":
        value = value._replace(text=" ".join(value.text.split()))
        return some(list(thing.tags), value, folds=True)
    texts = {
        "path": paths,
        "root": [ROOTS[root] for root, *_ in thing.places if root is not None],
        "trigger": list(thing.triggers),
        "finding": list(thing.findings),
    }.get(field)
    return some(texts if texts is not None else [getattr(thing, field)], value)


def chosen(things: list[Thing], query: Query) -> set[Found]:
    waiting = mentions(query, "pending")
    return {
        Found(None, thing.pending) if thing.pending is not None else Found(thing.sha, None)
        for thing in things
        if (waiting or thing.pending is None)
        and (
            not query.groups
            or any(
                all(
                    any(holds(thing, term.field, value) for value in term.values) != term.negated
                    for term in group
                )
                for group in query.groups
            )
        )
    }


def keep(library: Library, thing: Thing, root_ids: list[int | None]) -> None:
    """Write the rows of one thing."""
    rows = []
    for root, path, present in thing.places:
        full = os.path.join(ROOTS[root] if root is not None else "/", path)
        row = known_file(full, thing.sha, root_id=None if root is None else root_ids[root])
        rows.append(row if present else row._replace(missing_since=NOW))
    usage = json.dumps({"trigger_words": thing.triggers, "frequent_tags": [["anime", 3]]})
    if thing.triggers or thing.kind or thing.format or thing.findings:
        found = [Finding(code, "why", serious=False) for code in thing.findings]
        content = Content(thing.sha, thing.format, thing.kind, "", (), usage)
        contents.put(library, content, header=None, findings=found)
    if thing.pending is None:
        model = Model(thing.sha, thing.name, thing.type, thing.base, thing.size, "", thing.notes)
        models.put(library, [model._replace(created_at=thing.added, updated_at=thing.updated)])
        tags.set_of_model(library, thing.sha, distinct(thing.tags))
        files.put(library, rows)
    else:
        entry = Pending(
            path=rows[0].path,
            source="test",
            sha256=thing.sha,
            name=thing.name,
            type=thing.type,
            base_model=thing.base,
            notes=thing.notes,
            size_bytes=thing.size,
            created_at=thing.added,
            tags=thing.tags,
            observed=rows[0] if thing.places[0][2] else None,
            id=None,
        )
        assert pending.put(library, entry) == thing.pending


def filled(things: list[Thing]) -> Library:
    """A library in memory that holds these."""
    library = open_library("/nowhere/at/all", mode="dry_run")
    with library.transaction():
        roots.remember(library, [Root(type="loras", path=path, origin="user") for path in ROOTS])
        ids = [root.id for root in roots.all_roots(library)]
        for thing in things:
            keep(library, thing, ids)
    return library


TEXT = st.one_of(st.just(""), st.lists(st.sampled_from(TEXT_WORDS), min_size=1, max_size=2).map(" ".join))
#: Files may be called what is no text, and still be found by what is.
NAME = st.sampled_from([*WORDS, "anime\udcff", "Été\udcff"])
MOMENT = st.integers(NOW - 40 * DAY, NOW)
PLACE = st.tuples(
    st.sampled_from([None, 0, 1]), st.lists(NAME, min_size=1, max_size=2).map("/".join), st.booleans()
)
#: A word of one of these, so that words and things meet.
TYPE = st.sampled_from(["loras", "vae", "mine", "Été"])


@st.composite
def thing_lists(draw: st.DrawFn) -> list[Thing]:
    things = []
    waiting = 0
    taken: set[tuple[int | None, str]] = set()
    for number in range(draw(st.integers(0, 5))):
        places = [place for place in draw(st.lists(PLACE, max_size=3)) if place[:2] not in taken]
        taken |= {place[:2] for place in places}
        places = list({place[:2]: place for place in places}.values())
        is_pending = bool(places) and draw(st.integers(0, 3)) == 0
        waiting += is_pending
        added, updated = draw(MOMENT), draw(MOMENT)
        # What is not observed has no root either.
        root, path, present = places[0] if is_pending else (None, "", True)
        one_place = ((root if present else None, path, present),)
        if is_pending and not present and root is not None:
            one_place = ((None, os.path.join(ROOTS[root], path)[1:], False),)
        things.append(
            Thing(
                sha=f"{draw(st.sampled_from('ab'))}{number}" * 32,
                pending=waiting if is_pending else None,
                name=draw(st.sampled_from(TEXT_WORDS)),
                type=draw(TYPE),
                base=draw(TEXT),
                notes=draw(TEXT),
                size=draw(st.sampled_from([None, 0, 999, 1000, 10**9, 3 * 10**9])),
                added=added,
                updated=added if is_pending else updated,
                tags=tuple(distinct(draw(st.lists(st.sampled_from(TEXT_WORDS), max_size=2))).values()),
                triggers=tuple(draw(st.lists(st.sampled_from(TEXT_WORDS), max_size=2, unique=True))),
                kind=draw(st.sampled_from(["", "lora", "vae"])),
                format=draw(st.sampled_from(["", "gguf"])),
                findings=tuple(sorted(draw(st.sets(st.sampled_from(["truncated", "misplaced"]))))),
                places=one_place if is_pending else tuple(places),
            )
        )
    return things


WANTED = st.sampled_from(
    [*WORDS, "e", "é", "ss", "SS", "m", "/", "loras", "%", "_", "comfy", "/m/loras", "ét"]
)


def value_of(how: How, text: str) -> Value:
    return Value(how, text)


def values(field: str) -> st.SearchStrategy[Value]:
    kind = FIELDS.get(field, "word")
    emptiness = st.sampled_from([Value("none"), Value("any")])
    ends = {
        "size": ["0", "1kB", "1GB", "3GB"],
        "count": ["0", "1", "2"],
        "moment": ["1d", "20d", "2025-06", "2025"],
    }.get(kind, [])
    end = st.sampled_from(ends or [""])
    amount = st.builds(value_of, st.sampled_from(["=", "<", "<=", ">", ">="]), end) | st.builds(
        lambda low: Value("..", low), end
    )
    return {
        "word": st.builds(partial(value_of, "has"), WANTED),
        "part": emptiness | st.builds(value_of, st.sampled_from(["has", "is"]), WANTED),
        "whole": emptiness
        | st.builds(partial(value_of, "is"), WANTED | TYPE | st.sampled_from(["LORA", "truncated"])),
        "digits": st.builds(partial(value_of, "has"), st.sampled_from(["a", "b", "a0", "b1b1", "f"])),
        "flag": st.sampled_from([Value("yes"), Value("no")]),
        "size": amount | st.just(Value("none")),
        "moment": amount,
        "count": amount,
    }[kind]


TERMS = st.sampled_from(["", "", *FIELDS]).flatmap(
    lambda field: st.builds(
        Term, st.just(field), st.lists(values(field), min_size=1, max_size=2).map(tuple), st.booleans()
    )
)
QUERIES = st.lists(st.lists(TERMS, min_size=1, max_size=2).map(tuple), max_size=2).map(
    lambda each: Query(tuple(each))
)


@settings(max_examples=100, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(thing_lists(), st.lists(QUERIES, min_size=1, max_size=8))
def test_it_finds_what_reading_the_query_would_choose(things: list[Thing], queries: list[Query]) -> None:
    with closing(filled(things)) as library:
        for query in queries:
            found = search(library, query, Asked(NOW))
            assert len(found) == len(set(found))
            assert set(found) == chosen(things, query), query


def test_a_query_of_as_many_parts_as_are_allowed_is_answered() -> None:
    """SQLite allows a statement no depth of a thousand."""
    many = [str(number) for number in range(999)]
    with closing(filled([Thing(sha="a" * 64, name="998", tags=("998",))])) as library:
        for text in ("tag:" + ",".join(many), "name:" + ",".join(many), " , ".join(many)):
            assert search(library, parse(text), Asked(NOW)) == [Found("a" * 64, None)]
        assert search(library, parse(" ".join(many)), Asked(NOW)) == []


def test_a_loader_name_is_the_same_in_sql() -> None:
    below = f"SELECT {_below_root('f.path')} FROM (SELECT ? AS path) AS f, (SELECT ? AS path) AS r"
    with closing(open_library("/nowhere/at/all", mode="dry_run")) as library:
        for root in ("/", "/m/loras", "/m/loras/", "/m/Été"):
            for name in ("a.safetensors", "b/a.safetensors", "ß/é.pt"):
                path = os.path.join(root, name)
                assert name_below(path, root) == name
                assert library.all(below, [path, root]) == [(name,)]
