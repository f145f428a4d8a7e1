from imbdet.errors import suggest
from imbdet.untrusted.reading import suggest_file


def test_suggest_names_the_nearest_options():
    assert suggest("focl", ["giou", "focal"]) == "Did you mean 'focal'?"


def test_suggest_lists_all_options_when_none_is_near():
    assert suggest("xyz", ["focal", "ap"]) == "There are: ap, focal."
    assert suggest("xyz", []) == "There are none."


def test_suggest_lists_the_first_of_many_options():
    names = [f"{i:06}" for i in range(300)]
    assert suggest("nosuch", names) == f"There are: {', '.join(names[:10])} and 290 others."


def test_files_are_suggested_by_their_stems(tmp_path):
    for name in ("CE.yaml", "cell.yaml", "cell.yml", "cells.txt", "Sampler-All.yaml"):
        (tmp_path / name).touch()
    path = str(tmp_path / "cells.yaml")
    found = suggest_file(path, (".yaml", ".yml"))
    assert found == "Did you mean 'cell.yaml' or 'cell.yml'?"
    (tmp_path / "cell.yaml").unlink()
    (tmp_path / "cell.yml").unlink()
    assert suggest_file(path, (".yaml", ".yml")) == "There are: CE.yaml, Sampler-All.yaml."
