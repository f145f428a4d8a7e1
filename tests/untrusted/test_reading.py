import os

import pytest

from imbdet.untrusted.reading import parse_json, read_text, require_file


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "No such file"),
        (os.mkdir, "it is a folder"),
        (os.mkfifo, "it is a device or a pipe"),
        (lambda path: os.symlink("/dev/zero", path), "it is a device or a pipe"),
    ],
)
def test_what_is_no_file_is_not_opened(tmp_path, make, words):
    path = tmp_path / "file"
    make(path)
    with pytest.raises(OSError, match=words):
        require_file(path)


def test_a_name_that_no_file_can_have():
    with pytest.raises(OSError, match="NUL byte"):
        require_file("a\0b")


def test_a_text_may_be_limited(tmp_path):
    path = tmp_path / "file"
    path.write_text("12345")
    assert read_text(path, max_bytes=5) == "12345"
    with pytest.raises(ValueError, match="more than 4 bytes"):
        read_text(path, max_bytes=4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "nested too deep"),
        ('{"a":' * 100_000, "nested too deep"),
        ("9" * 5000, "thousands of digits"),
        ("[1,", "Expecting value"),
        (b"\xff\xfe\xfd", "decode"),
    ],
)
def test_json_that_python_stumbles_over(text, words):
    with pytest.raises(ValueError, match=words):
        parse_json(text)
