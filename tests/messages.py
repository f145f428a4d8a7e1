"""Requirements on the answer to a user's mistake, for tests."""

import pytest

from imbdet.errors import UserError


def error_of(action, *args, **kwargs):
    with pytest.raises(UserError) as caught:
        action(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    return message


def assert_says(message, *words):
    for word in words:
        assert word in message
