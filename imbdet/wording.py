"""Words of messages."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """ "1 image", "1,200 images"; without ``plural`` the noun takes an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
