"""The cheapest one-to-one matching of rows and columns.

Kuhn, "The Hungarian Method for the Assignment Problem", Naval Research Logistics Quarterly 1955, by
shortest augmenting paths as in Crouse, "On Implementing 2D Rectangular Assignment Algorithms", IEEE
Transactions on Aerospace and Electronic Systems 2016.
"""

import numpy as np
from numpy.typing import NDArray

Costs = NDArray[np.float64]
Idxs = NDArray[np.int64]


def match_cheapest(costs: Costs, copies: int = 1) -> Idxs:
    """The columns of each row, so that the sum of their costs is the lowest there is.

    Among equal costs the first column is looked at first. A matching is searched in O(R^2 C) steps
    at worst, but rows whose cheapest columns differ take one look each.

    Args:
        costs: (R, C), finite.
        copies: number of columns of each row, >= 1; if it is above 1, there are enough columns.

    Returns:
        (R * copies,) int64; -1 for the rows without a column, if there are more rows than columns.
    """
    if len(costs) > costs.shape[1]:
        rows = match_cheapest(np.ascontiguousarray(costs.T))
        columns = np.full(len(costs), -1)
        columns[rows] = np.arange(len(rows))
        return columns
    return _Matching(costs, copies).columns


class _Matching:
    """A matching of the first rows, to which others are added.

    Prices of rows and columns are such that no pair costs less than both together, and the matched
    pairs cost just that much; columns without a row have a price of 0.
    """

    def __init__(self, costs: Costs, copies: int):
        num_rows, num_columns = len(costs) * copies, costs.shape[1]
        self.costs, self.copies = costs, copies
        self.columns = np.full(num_rows, -1)
        self.rows = np.full(num_columns, -1)
        self.column_prices = np.zeros(num_columns)
        if num_columns == 0:
            return
        self.row_prices = costs.min(axis=1).repeat(copies)
        for row, column in enumerate(costs.argmin(axis=1).repeat(copies)):
            if self.rows[column] < 0:
                self.columns[row], self.rows[column] = column, row
        for new_row in np.flatnonzero(self.columns < 0):
            self._add(int(new_row))

    def _add(self, new_row: int) -> None:
        """Match a row by the cheapest chain of pairs that ends at a free column."""
        num_columns = len(self.rows)
        lengths = np.full(num_columns, np.inf)  # of the shortest chain to each column
        is_open = np.ones(num_columns, dtype=bool)
        before = np.full(num_columns, -1)  # the row from which it comes
        row, length = new_row, 0.0
        while True:
            costs = self.costs[row // self.copies]
            found = length + costs - self.row_prices[row] - self.column_prices
            is_shorter = (found < lengths) & is_open
            lengths[is_shorter] = found[is_shorter]
            before[is_shorter] = row
            column = int(np.where(is_open, lengths, np.inf).argmin())
            length = float(lengths[column])
            is_open[column] = False
            if self.rows[column] < 0:
                break
            row = int(self.rows[column])
        self._change_prices(new_row, ~is_open, lengths, length)
        while True:
            row = before[column]
            self.rows[column] = row
            self.columns[row], column = column, self.columns[row]
            if row == new_row:
                break

    def _change_prices(
        self, new_row: int, is_reached: NDArray[np.bool_], lengths: Costs, length: float
    ) -> None:
        shorter = np.flatnonzero(is_reached & (self.rows >= 0))
        self.row_prices[new_row] += length
        self.row_prices[self.rows[shorter]] += length - lengths[shorter]
        self.column_prices[shorter] -= length - lengths[shorter]
