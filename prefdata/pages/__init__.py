"""HTML pages and their plots, shared by every report."""

from prefdata.pages.page import page, section, table
from prefdata.pages.plots import Line, forest, least

__all__ = ["Line", "forest", "least", "page", "section", "table"]
