"""Export and import as inverses: whatever a library holds, the export of a copy is the export."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.libraries import known_file, put_files, put_model, put_pending

from mlib.core.export_lines import BadLineError, exported_of, line
from mlib.core.records import Root
from mlib.db import roots
from mlib.db.library import open_library
from mlib.services.exporting import ExportCount, as_lines
from mlib.services.importing.from_exports import import_export
from mlib.services.importing.importer import ConflictStrategy

if TYPE_CHECKING:
    from mlib.db.library import Library

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
TAG = TEXT.filter(lambda text: bool(" ".join(text.split()).strip()))
META = st.dictionaries(
    TEXT,
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXT),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
        max_leaves=5,
    ),
    max_size=3,
)
NAME = st.text("ab\udcff\u202e é.", min_size=1, max_size=4).map(lambda text: f"{text}.safetensors")
MODELS = st.dictionaries(
    st.sampled_from([f"{digit}" * 64 for digit in "0123abc"]),
    st.tuples(
        st.dictionaries(st.sampled_from(["name", "notes", "description", "base_model"]), TEXT.filter(bool)),
        st.lists(TAG, max_size=3),
        META,
        st.lists(st.tuples(NAME, st.booleans(), st.booleans()), max_size=3),
    ),
    max_size=4,
)
PENDING = st.dictionaries(NAME, st.tuples(TEXT, META, st.lists(TAG, max_size=2)), max_size=3)


def exported(library: Library) -> str:
    return "\n".join(as_lines(library, None, count=ExportCount())) + "\n"


@settings(max_examples=40, deadline=None)
@given(models=MODELS, waiting=PENDING, strategy=st.sampled_from(["report", "merge", "override", "ignore"]))
def test_the_export_of_a_copy_is_the_export_and_twice_is_once(
    models: dict[str, tuple[dict[str, str], list[str], dict[str, object], list[tuple[str, bool, bool]]]],
    waiting: dict[str, tuple[str, dict[str, object], list[str]]],
    strategy: str,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "export.jsonl"
        with open_library(f"{folder}/one.db", mode="create") as one:
            with one.transaction():
                roots.remember(one, [Root("loras", "/m/loras", "user")])
            root_id = roots.all_roots(one)[0].id
            for sha256, (text, tags, meta, places) in models.items():
                put_model(one, sha256, tags_=tags, meta_json=json.dumps(meta) if meta else None, **text)
                put_files(
                    one,
                    *(
                        known_file(
                            f"/m/loras/{sha256[0]}/{name}", sha256,
                            missing_since=7 if is_missing else None, root_id=root_id if in_root else None,
                        )
                        for name, is_missing, in_root in places
                    ),
                )  # fmt: skip
            for name, (notes, meta, tags) in waiting.items():
                free = json.dumps(meta)
                put_pending(
                    one,
                    f"/p/{name}",
                    sha256=None,
                    name="n",
                    notes=notes,
                    tags_=tags,
                    meta_json=free,
                )
            first = exported(one)
        path.write_text(first)
        with open_library(f"{folder}/two.db", mode="create") as two:
            for _ in range(2):
                chosen = ConflictStrategy(strategy)
                report = import_export(two, str(path), strategy=chosen, keep_backup=False)
                assert report.bad == []
                assert exported(two) == first


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(max_size=40),
        st.dictionaries(
            st.sampled_from(
                ["sha256", "name", "type", "size_bytes", "tags", "files", "meta", "content", "hashes",
                 "pending", "path", "findings", "edited", "created_at", "claimed_hash"]
            ),
            st.recursive(
                st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
                          st.just("ab" * 32)),
                lambda inner: st.one_of(
                    st.lists(inner, max_size=3),
                    st.dictionaries(
                        st.sampled_from(["path", "root", "usage", "format", "code", "dtypes", "crc32"]),
                        inner, max_size=4,
                    ),
                ),
                max_leaves=8,
            ),
        ).map(json.dumps),
    )
)  # fmt: skip
def test_a_line_is_read_or_refused_and_what_is_read_says_itself_again(text: str) -> None:
    try:
        read = exported_of(text)
    except BadLineError:
        return
    assert exported_of(line(read)) == read
