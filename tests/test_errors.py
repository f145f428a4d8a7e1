from imbdet.errors import suggest


def test_suggest_names_the_nearest_options():
    assert suggest("focl", ["giou", "focal"]) == "Did you mean 'focal'?"


def test_suggest_lists_all_options_when_none_is_near():
    assert suggest("xyz", ["focal", "ap"]) == "There are: ap, focal."
    assert suggest("xyz", []) == "There are none."


def test_suggest_lists_the_first_of_many_options():
    names = [f"{i:06}" for i in range(300)]
    assert suggest("nosuch", names) == f"There are: {', '.join(names[:10])} and 290 others."
