"""Which sidecar is believed: of all that lie beside a model, those that are not about another file."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from mlib.core.records import OtherHashes
from mlib.core.sidecars.companions import SIDECAR_KINDS, Companion, by_stem, stem_of
from mlib.db import contents, files, list_rows, sidecars

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from mlib.core.query import Query, Value
    from mlib.core.sidecars.filling import Named
    from mlib.db.library import Library
    from mlib.db.list_rows import Listed, Part

    #: What sidecars of a directory said, by name.
    _Read = Callable[[Library, str, Sequence[str]], dict[str, Named]]

#: A directory, the name of a model file in it, and the model's SHA-256.
Place = tuple[str, str, str]


class Believed:
    """What sidecars say of the models beside them, but for those that are about another file.

    The one source of it for `show`, lists, exports and searches. What a directory holds is looked up once.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._companions: dict[str, Mapping[str, Sequence[Companion]]] = {}

    def said(self, places: Iterable[Place]) -> dict[Place, list[Named]]:
        """What is said of the models at these places, the most trusted first, also where it is nothing."""
        from mlib.core.sidecars.filling import of_one

        found = self._at(places, sidecars.said_by)
        return {
            place: [
                each._replace(sidecar=of_one(each.sidecar, place[2], self._hashes(place[2]))) for each in said
            ]
            for place, said in found.items()
        }

    def words(self, places: Iterable[Place]) -> dict[Place, list[tuple[str, ...]]]:
        """The trigger words that `said` tells, at a fraction of the cost."""
        found = self._at(places, sidecars.words_of)
        return {place: [each.sidecar.trigger_words for each in said] for place, said in found.items()}

    def of(self, directory: str, names: Collection[str]) -> Iterator[str]:
        """The SHA-256s of the models that one of these sidecars of a directory speaks of."""
        of_stem = self._in(directory)
        places = [(directory, *each) for each in files.present_in(self._library, directory)]
        own = {place: [each for each in _own(of_stem, place[1]) if each.name in names] for place in places}
        return (
            place[2] for place in self._believed({at: of for at, of in own.items() if of}, sidecars.words_of)
        )

    def _at(self, places: Iterable[Place], read: _Read) -> dict[Place, list[Named]]:
        own = {}
        for place in places:
            of_stem = self._in(place[0])
            if of_stem and (found := _own(of_stem, place[1])):
                own[place] = found
        return self._believed(own, read)

    def _in(self, directory: str) -> Mapping[str, Sequence[Companion]]:
        """The sidecars of a directory by stem, whatever they say."""
        if directory not in self._companions:
            names = sidecars.names_in(self._library, directory)
            present = files.present_in(self._library, directory) if names else []
            of_models = [name for name, _ in present]
            self._companions[directory] = by_stem([*names, *of_models], models=of_models)
        return self._companions[directory]

    def _believed(self, own: Mapping[Place, Sequence[Companion]], read: _Read) -> dict[Place, list[Named]]:
        """What these sidecars say of each place, but for those that are about another file there."""
        wanted: dict[str, dict[str, None]] = {}
        for (directory, *_), companions in own.items():
            wanted.setdefault(directory, {}).update(dict.fromkeys(each.name for each in companions))
        texts = {
            directory: read(self._library, directory, list(names)) for directory, names in wanted.items()
        }
        found: dict[Place, list[Named]] = {}
        for place, companions in own.items():
            all_said = (texts[place[0]].get(each.name) for each in companions)
            said = [each for each in all_said if each is not None and self._is_about(each, place[2])]
            if said:
                found[place] = said
        return found

    def _is_about(self, named: Named, sha256: str) -> bool:
        from mlib.core.sidecars.filling import mismatch

        sidecar = named.sidecar
        claims = (sidecar.hashes, *sidecar.other_hashes)
        if sha256 in itertools.chain(sidecar.other_sha256, (each.get("sha256") for each in claims)):
            return True  # most are, and need nothing to be looked up
        if not any(claims) and not sidecar.other_sha256:
            return True
        return mismatch(named, sha256, self._hashes(sha256)) is None

    def _hashes(self, sha256: str) -> OtherHashes:
        return contents.hashes_of(self._library, sha256) or OtherHashes()


def _own(of_stem: Mapping[str, Sequence[Companion]], name: str) -> list[Companion]:
    """The sidecars of one model file."""
    found = of_stem.get(stem_of(name), ())
    return [each for each in found if each.kind in SIDECAR_KINDS and each.is_of(name)]


def beside_query(library: Library, query: Query) -> dict[Value, set[str]]:
    """The SHA-256s of the models of which a believed sidecar tells a trigger word that a query asks for."""
    from mlib.db.search import sidecars_telling, words_beside

    believed = Believed(library)
    return {
        value: {
            sha256
            for directory, names in sidecars_telling(library, value).items()
            for sha256 in believed.of(directory, names)
        }
        for value in words_beside(query)
    }


def with_words_beside(
    library: Library, rows: Mapping[str, Listed], believed: Believed, parts: AbstractSet[Part]
) -> Mapping[str, Listed]:
    """Models by SHA-256 with the trigger words of their sidecars too, if `content` is among the `parts`.

    Who asks again and again gives the same `believed`, which remembers what the directories hold.
    """
    if "content" not in parts or not sidecars.are_known(library):
        return rows
    places: Iterable[Place]
    if "files" in parts:
        present = (row for each in rows.values() for row in each.files if row.missing_since is None)
        places = [(row.directory, row.name, row.sha256) for row in present]
    else:
        places = list_rows.present_places(library, list(rows))
    words: dict[str, list[tuple[str, ...]]] = {}
    for (*_, sha256), said in believed.words(places).items():
        words.setdefault(sha256, []).extend(said)
    if not words:
        return rows
    from mlib.core.sidecars.filling import united

    told = {
        sha256: rows[sha256]._replace(trigger_words=united(said, rows[sha256].trigger_words))
        for sha256, said in words.items()
        if sha256 in rows
    }
    return {**rows, **told}
