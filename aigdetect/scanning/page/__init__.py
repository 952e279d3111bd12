"""The report of a scan as one HTML page that needs nothing else."""

from aigdetect.scanning.page.header import PageHeader
from aigdetect.scanning.page.row import PageRow
from aigdetect.scanning.page.write import write_page

__all__ = ["PageHeader", "PageRow", "write_page"]
