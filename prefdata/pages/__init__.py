"""HTML pages and their plots, shared by every report."""

from prefdata.pages.bars import Counts, bars, histogram
from prefdata.pages.matrix import Cell, matrix
from prefdata.pages.page import page, section, table
from prefdata.pages.plots import Line, forest, least

__all__ = ["Cell", "Counts", "Line", "bars", "forest", "histogram", "least", "matrix", "page", "section", "table"]
