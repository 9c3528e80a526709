"""Stats: what is counted by indexes is what a plain count of the rows gives."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.libraries import known_file, put_files, put_model

from mlib.core.formats.header import Finding
from mlib.core.records import Content, Root, Stat
from mlib.db import contents, files, models, roots, tags
from mlib.db.library import open_library
from mlib.db.statistics import Totals
from mlib.services.counting import count

if TYPE_CHECKING:
    from pathlib import Path

    from mlib.db.library import Library

#: Of each model its size, and of each of its files: device, inode, whether it is missing, whether in a root.
MODELS = st.lists(
    st.tuples(
        st.sampled_from(["loras", "vae"]),
        st.sampled_from(["", "SDXL 1.0"]),
        st.one_of(st.none(), st.integers(0, 10**12)),
        st.lists(st.tuples(st.integers(1, 2), st.integers(1, 3), st.booleans(), st.booleans()), max_size=4),
    ),
    max_size=6,
)


def plain(library: Library) -> dict[tuple[str, str], Totals]:
    """The same by looking at every row."""
    found: dict[tuple[str, str], Totals] = defaultdict(Totals)
    for sha256 in models.all_ids(library):
        model = models.get(library, sha256)
        assert model is not None
        size = model.size_bytes or 0
        present = [row.stat for row in files.of_model(library, sha256) if row.missing_since is None]
        inodes = {(stat.device, stat.inode) for stat in present if stat is not None}
        extra = max(len(inodes) - 1, 0)
        figures = Totals(
            1, len(present), len(present) * size, len(inodes) * size, extra, extra * size, int(not present)
        )
        key = (model.type, model.base_model)
        found[key] = found[key].plus(figures)
    return dict(found)


def within(
    made: list[tuple[str, str, int | None, list[tuple[int, int, bool, bool]]]], *, in_root: bool
) -> Totals:
    """The figures of the files in the root, or of those in none."""
    whole = Totals()
    for _, _, size, places in made:
        inside = [place for place in places if place[3] == in_root]
        present = [place for place in inside if not place[2]]
        inodes = len({place[:2] for place in present})
        each, extra = size or 0, max(inodes - 1, 0)
        amounts = (len(present), len(present) * each, inodes * each, extra, extra * each)
        whole = whole.plus(Totals(int(bool(present)), *amounts, len(inside) - len(present)))
    return whole


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MODELS)
def test_counting_by_indexes_gives_what_counting_rows_gives(
    tmp_path: Path, made: list[tuple[str, str, int | None, list[tuple[int, int, bool, bool]]]]
) -> None:
    with open_library(str(tmp_path / "library.db"), mode="create") as library:
        with library.transaction():
            for table in ("files", "models", "roots"):
                library.execute(f"DELETE FROM {table}")
            roots.remember(library, [Root("loras", "/r", "user")])
        root_id = roots.all_roots(library)[0].id
        for number, (kind, base, size, places) in enumerate(made):
            sha256 = hashlib.sha256(b"%d" % number).hexdigest()
            put_model(library, sha256, type=kind, base_model=base, size_bytes=size)
            put_files(
                library,
                *(
                    known_file(
                        f"/r/{number}/{at}", sha256, stat=Stat(size or 0, 1, device, inode),
                        missing_since=5 if is_missing else None, root_id=root_id if in_root else None,
                    )
                    for at, (device, inode, is_missing, in_root) in enumerate(places)
                ),
            )  # fmt: skip
        counted = count(library, tags_in_full=True, roots_in_full=True)
        expected = plain(library)
        for name in ("loras", "vae"):
            mine = [figures for (kind, _), figures in expected.items() if kind == name]
            whole = Totals()
            for figures in mine:
                whole = whole.plus(figures)
            assert counted.types.get(name, Totals()) == whole
        rows = [place for *_, places in made for place in places]
        for root in counted.roots:
            inside = [place for place in rows if place[3] == (root.path == "/r")]
            assert root.files == sum(not place[2] for place in inside)
            assert root.missing == sum(place[2] for place in inside)
            assert counted.roots_in_full is not None
            assert counted.roots_in_full[root.id] == within(made, in_root=root.path == "/r")


def test_tags_in_full_count_like_types(library: Library) -> None:
    one, two = "a" * 64, "b" * 64
    put_model(library, one, size_bytes=100, tags_=["ink", "both"])
    put_model(library, two, size_bytes=10, tags_=["both"])
    put_files(
        library,
        known_file("/a", one, stat=Stat(100, 1, 1, 1)),
        known_file("/b", one, stat=Stat(100, 1, 1, 2)),
        known_file("/c", one, stat=Stat(100, 1, 1, 2)),
    )
    counted = count(library, tags_in_full=True)
    assert counted.tags == [("both", 2), ("ink", 1)]
    assert counted.tags_in_full == {
        "both": Totals(2, 3, 300, 200, 1, 100, 1),
        "ink": Totals(1, 3, 300, 200, 1, 100, 0),
    }


def test_what_is_wrong_with_a_place_counts_only_where_a_file_is(library: Library) -> None:
    """As `list finding:misplaced` finds it."""
    here, gone = "a" * 64, "b" * 64
    for sha256, missing_since in ((here, None), (gone, 5)):
        put_model(library, sha256)
        row = known_file(f"/{sha256[0]}", sha256, missing_since=missing_since)
        put_files(library, row)
        with library.transaction():
            misplaced = Finding("misplaced", "elsewhere")
            contents.put_place_findings(library, row, [misplaced], codes=["misplaced"])
    with library.transaction():
        roots.remember(library, [Root("loras", "/", "user")])
        library.execute("UPDATE files SET root_id = ?", [roots.all_roots(library)[0].id])
        content = Content(here, "safetensors", "lora", "", (), "{}")
        damaged = [Finding("trailing_data", "too long"), Finding("dtype", "odd")]
        contents.put(library, content, header=None, findings=damaged)
        tags.set_of_model(library, here, {"ink": "ink"})
    counted = count(library, tags_in_full=True, roots_in_full=True)
    assert counted.findings == [("dtype", 1, False), ("misplaced", 1, False), ("trailing_data", 1, False)]
    in_full = (counted.tags_in_full, counted.roots_in_full)
    groups = [counted.types, counted.base_models, *(each for each in in_full if each is not None)]
    assert [figures.findings for group in groups for figures in group.values()] == [1, 1, 1, 1]
    assert counted.total.findings == 1
