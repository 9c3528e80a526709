"""How to use a model by its sidecars and by itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlib.core.kinds.usage import Usage
from mlib.core.sidecars.filling import with_sidecars
from mlib.core.sidecars.record import Sidecar


def said(*words: str, author: str = "") -> Sidecar:
    return Sidecar("civitai_info", trigger_words=words, author=author)


def test_without_sidecars_nothing_changes() -> None:
    usage = Usage(trigger_words=("own",), author="me")
    assert with_sidecars(usage, []) == usage


def test_what_persons_wrote_goes_first_each_word_once() -> None:
    usage = with_sidecars(Usage(trigger_words=("own", "INK")), [said("ink", "wash"), said("Wash", "line")])
    assert usage.trigger_words == ("ink", "wash", "line", "own")


def test_the_file_s_own_author_stays() -> None:
    assert with_sidecars(Usage(author="me"), [said(author="brush")]).author == "me"
    assert with_sidecars(Usage(), [said(), said(author="brush"), said(author="other")]).author == "brush"


@given(
    st.lists(st.lists(st.sampled_from(["a", "A", "b", "ß", "SS"]), max_size=4), max_size=3),
    st.lists(st.sampled_from(["a", "c"]), max_size=3),
)
def test_no_word_is_lost_or_told_twice(sidecars: list[list[str]], own: list[str]) -> None:
    words = with_sidecars(Usage(trigger_words=tuple(own)), [said(*each) for each in sidecars]).trigger_words
    folded = [word.casefold() for word in words]
    assert len(set(folded)) == len(folded)
    assert set(folded) == {word.casefold() for word in (*own, *(w for each in sidecars for w in each))}
