"""Names of classes from text files."""

import pytest

from mfvjax.class_names import read_class_names, without_id


def test_names_lose_their_wordnet_identifiers_only(tmp_path):
    file = tmp_path / "names.txt"
    file.write_text("n01440764 tench, Tinca tinca\nplain name \nn12 not an identifier\nñandú\n\n")
    names = ("tench, Tinca tinca", "plain name", "n12 not an identifier", "ñandú")
    assert read_class_names(file) == names


@pytest.mark.parametrize(
    ("name", "without"),
    [
        ("n01440764 tench, Tinca tinca", "tench, Tinca tinca"),
        ("tench n01440764", "tench n01440764"),
        ("n0144076 tench", "n0144076 tench"),
        ("tench", "tench"),
    ],
)
def test_an_identifier_is_dropped_only_at_the_start(name, without):
    assert without_id(name) == without


def test_the_thousand_classes_of_imagenet(data_dir):
    names = read_class_names(data_dir / "synset_words.txt")
    assert len(names) == 1000
    assert (names[0], names[497]) == ("tench, Tinca tinca", "church, church building")
    assert not any(name.startswith("n0") for name in names)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "line 1 names no class"),
        (b"ant\n\nbee\n", "line 2 names no class"),
        (b"n01440764 \nbee\n", "line 1 names no class"),
        (b"\xff\xfe\x00", "must be UTF-8 text"),
    ],
)
def test_files_that_are_no_list_of_names_are_refused(tmp_path, content, match):
    file = tmp_path / "names.txt"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=match):
        read_class_names(file)
