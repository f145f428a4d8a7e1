"""How a matrix of logits is cut into tiles, which programs hold in their registers."""

# Entries of a tile: eight of a thread. With sixteen, kernels for Hopper run out of registers.
TILE = 1024
# What may be the number of its columns; fewer where there are no more.
WIDTHS = (16, 32, 64, 128)


def tile_columns(num_columns: int) -> int:
    """Columns of a tile, a power of 2: the fewest beyond the last column, then the widest tile."""
    if num_columns <= WIDTHS[0]:
        return 1 << max(num_columns - 1, 0).bit_length()
    return min(WIDTHS, key=lambda width: (-num_columns % width, -width))
