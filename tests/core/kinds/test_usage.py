from __future__ import annotations

import json

import pytest
from tests.core.kinds.tensors import tensors, used

from mlib.core.formats.header import Tensor
from mlib.core.kinds.usage import Usage, file_type

#: What kohya's trainer writes, shortened.
KOHYA = {
    "ss_output_name": "watercolor_v2",
    "ss_network_dim": "8",
    "ss_network_alpha": "4.0",
    "ss_sd_model_name": "base.safetensors",
    "ss_sd_model_hash": "1A2B3C4D",
    "ss_new_sd_model_hash": "c8" * 32,
    "ss_resolution": "(512, 768)",
    "ss_tag_frequency": json.dumps({"10_a": {"wtrclr": 40, "meadow": 22}, "5_b": {"meadow": 9, "wtrclr": 3}}),
    "modelspec.title": "Watercolor\nDreams",
    "modelspec.author": " inkfox ",
    "modelspec.license": "None",
}


def test_metadata_of_a_trainer_is_read() -> None:
    usage = used(KOHYA, [])
    assert usage.title == "Watercolor Dreams"
    assert usage.author == "inkfox"
    assert usage.license == ""
    assert usage.resolution == "512x768"
    assert (usage.rank, usage.alpha) == (8, 4.0)
    assert usage.trained_on == "base.safetensors"
    assert usage.trained_on_sha256 == "c8" * 32
    assert usage.trained_on_hash == "1a2b3c4d"
    assert usage.frequent_tags == (("wtrclr", 43), ("meadow", 31))


def test_what_the_file_does_not_say_is_empty() -> None:
    assert used({}, []) == Usage()


# --- trigger words -----------------------------------------------------------------------------------------


def test_the_authors_phrase_is_kept_whole_and_goes_first() -> None:
    metadata = KOHYA | {
        "modelspec.trigger_phrase": "wtrclr style,  soft",
        "ssmd_keywords": "wash, wtrclr style,  soft,",
    }
    assert used(metadata, []).trigger_words == ("wtrclr style, soft", "wash", "wtrclr style", "soft")


def test_a_phrase_of_several_sentences_is_kept_and_a_book_is_not() -> None:
    sentences = "A watercolour of a quiet harbour, soft light. " * 10
    for text, kept in ((sentences, (sentences.strip(),)), (sentences * 10, ())):
        assert used({"modelspec.trigger_phrase": text}, []).trigger_words == kept


def test_class_tokens_are_trigger_words() -> None:
    datasets = [
        {"subsets": [{"class_tokens": "ohwx man"}, {"class_tokens": None}, {"class_tokens": 5}]},
        3,
        {},
    ]
    assert used({"ss_datasets": json.dumps(datasets)}, []).trigger_words == ("ohwx man",)


def test_captions_are_captions_however_many_images_have_them() -> None:
    counts = {"ohwx": 100, "1girl": 95, "smile": 89, "tree": 2}
    usage = used({"ss_tag_frequency": json.dumps({"d": counts})}, [])
    assert usage.trigger_words == ()
    assert usage.frequent_tags[:2] == (("ohwx", 100), ("1girl", 95))


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (["10_abc"], ("abc",)),
        (["10_ohwx man", "5_ohwx_face"], ("ohwx man", "ohwx_face")),
        (["abc", "dataset-1", "_abc", "10_", "x_abc", "10 abc"], ()),
        (["1_img", "2_Images", "3_dataset"], ()),  # nobody means a word by these
        (["10_" + "x" * 500], ()),
    ],
)
def test_the_folders_of_the_images_are_named_after_the_words(folders: list[str], words: object) -> None:
    frequency = json.dumps({folder: {"1girl": 20} for folder in folders})
    assert used({"ss_tag_frequency": frequency}, []).trigger_words == words


def test_folders_for_regularisation_and_folders_beside_said_words_give_none() -> None:
    frequency = {"ss_tag_frequency": json.dumps({"10_abc woman": {}, "1_woman": {"woman": 9}})}
    regular = {"ss_reg_dataset_dirs": json.dumps({"1_woman": {"n_repeats": 1, "img_count": 9}})}
    assert used(frequency | regular, []).trigger_words == ("abc woman",)
    assert used(frequency | {"modelspec.trigger_phrase": "said"}, []).trigger_words == ("said",)


@pytest.mark.parametrize("text", ["ohwx, ohwx  man", '["ohwx", "ohwx man", 5]'])
def test_the_trained_words_of_simpletuner_are_trigger_words(text: str) -> None:
    frequency = json.dumps({"my-dataset": {"a photo": 3}})
    usage = used({"trained_words": text, "ss_tag_frequency": frequency}, [])
    assert usage.trigger_words == ("ohwx", "ohwx man")
    assert usage.frequent_tags == (("a photo", 3),)


def test_of_equally_common_captions_the_order_in_the_file_decides_nothing() -> None:
    tags = [
        used({"ss_tag_frequency": text}, []).frequent_tags
        for text in ('{"d": {"b": 2, "a": 2, "c": 3}}', '{"d": {"c": 3, "a": 2, "b": 2}}')
    ]
    assert tags[0] == tags[1] == (("c", 3), ("a", 2), ("b", 2))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "None",
        "{",
        "[]",
        "null",
        '"x"',
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"d": ["tag"]}',
        '{"d": {"tag": {"deep": 1}}}',
        '{"d": {"tag": null, "b": true, "c": "7", "d": -3, "e": 1.5, "f": NaN, "g": 1e999}}',
        '{"d": {"tag": ' + "9" * 100_000 + "}}",
        json.dumps({"d": {"x" * 5_000: 4, "": 3, " \n": 2}}),
        " " * (9 * 2**20) + '{"d": {"tag": 1}}',
    ],
    ids=lambda text: ascii(text)[:30],
)
def test_a_hostile_tag_frequency_yields_nothing(text: str) -> None:
    usage = used({"ss_tag_frequency": text, "ss_datasets": text}, [])
    assert usage == Usage()


def test_text_from_metadata_is_one_line_that_can_be_stored() -> None:
    hostile = "a\0b\x1b[31m\ud800c\r\nd\x9b"
    metadata = {
        "modelspec.title": hostile,
        "modelspec.trigger_phrase": hostile,
        "ss_tag_frequency": '{"d": {"x\\ud800\\u0000y": 3}}',
    }
    usage = used(metadata, [])
    assert usage.title == "a b [31m c d"
    assert usage.trigger_words == ("a b [31m c d",)
    assert usage.frequent_tags == (("x y", 3),)


def test_long_text_is_cut_and_long_lists_are_short() -> None:
    counts = {f"tag {number}": 1000 + number for number in range(5_000)}
    metadata = {
        "modelspec.title": "x" * 10_000_000,
        "modelspec.trigger_phrase": "y" * 10_000_000,
        "ssmd_keywords": ",".join(f"w{number}" for number in range(100_000)),
        "ss_tag_frequency": json.dumps({"d": counts}),
    }
    usage = used(metadata, [])
    assert len(usage.title) == 500
    assert len(usage.trigger_words) == 20
    assert usage.frequent_tags[0] == ("tag 4999", 5999)
    assert len(usage.frequent_tags) == 10


# --- numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("512x512", "512x512"),
        ("1024,1536", "1024x1536"),
        ("(512, 512)", "512x512"),
        ("1024", "1024x1024"),
        ("None", ""),
        ("", ""),
        ("1x2x3", ""),
        ("9" * 1_000_000, ""),
        ("\u0665\u0661\u0662", ""),
    ],
    ids=lambda text: ascii(text)[:20],
)
def test_resolutions_are_written_one_way(text: str, shown: str) -> None:
    assert used({"ss_resolution": text}, []).resolution == shown


@pytest.mark.parametrize(
    "text",
    ["", "None", "nan", "inf", "-1", "1_0", "\u0665", "9" * 5_000, "0x10"],
    ids=lambda text: ascii(text)[:20],
)
def test_what_is_no_number_is_no_alpha_and_no_rank(text: str) -> None:
    usage = used({"ss_network_alpha": text, "ss_network_dim": text}, [])
    assert (usage.alpha, usage.rank) == (None, None)


@pytest.mark.parametrize("text", ["None", "", "xyz", "c8" * 31, "c8" * 33, "zz" * 32])
def test_what_is_no_sha256_of_a_base_is_not_shown_as_one(text: str) -> None:
    assert used({"ss_new_sd_model_hash": text}, []).trained_on_sha256 == ""


def test_the_rank_is_that_of_most_layers_whatever_the_metadata_says() -> None:
    lora = tensors(
        "a.lora_down.weight 16,320",
        "b.lora_A.weight 16,320",
        "c.lora_down.weight 64,320,3,3",
        "c.lora_up.weight 320,64,1,1",
    )
    assert used({"ss_network_dim": "128"}, lora).rank == 16
    assert used({"ss_network_dim": "128"}, lora[::-1]).rank == 16
    assert used({}, tensors("plain.weight")).rank is None


def test_parameters_are_counted_by_type() -> None:
    model = [
        Tensor("a", "F16", (10, 20)),
        Tensor("b", "F16", (5,)),
        Tensor("c", "F32", ()),
        Tensor("d", "F32", (0, 7)),
    ]
    usage = used({}, model)
    assert usage.parameters == 206
    assert usage.dtypes == {"F16": 205, "F32": 1}
    assert usage.precision == "fp16"


@pytest.mark.parametrize(
    ("shape", "count"),
    [((2**63, 2**63), 2**63 - 1), ((2**62, 0), 0), ((-5, 3), 0), ((2,) * 1_000_000, 2**63 - 1)],
)
def test_untrue_shapes_are_counted_within_bounds(shape: tuple[int, ...], count: int) -> None:
    assert used({}, [Tensor("a", "F16", shape), Tensor("b", "F16", shape)]).parameters == min(
        2 * count, 2**63 - 1
    )


@pytest.mark.parametrize(
    ("number", "dtype", "shown"),
    [
        ("15", "Q4_K", "Q4_K_M"),
        ("7", "Q8_0", "Q8_0"),
        ("1", "F16", "fp16"),
        ("", "Q6_K", "Q6_K"),
        ("999", "Q6_K", "Q6_K"),
        ("", "F8_E4M3", "fp8_e4m3fn"),
        ("", "BF16", "bf16"),
    ],
)
def test_precision_is_said_as_people_say_it(number: str, dtype: str, shown: str) -> None:
    model = [Tensor("big", dtype, (100, 100)), Tensor("norm", "F32", (100,))]
    assert used({"general.file_type": number}, model).precision == shown


@pytest.mark.parametrize("number", ["", "-1", "1.0", "²", "9" * 5_000])
def test_what_is_no_file_type_has_no_name(number: str) -> None:
    assert file_type(number) == ""
