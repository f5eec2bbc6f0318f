"""HTML pages and their plots, shared by every report."""

from prefdata.pages.matrix import Cell, matrix
from prefdata.pages.page import page, section, table
from prefdata.pages.plots import Line, forest, least

__all__ = ["Cell", "Line", "forest", "least", "matrix", "page", "section", "table"]
