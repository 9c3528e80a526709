"""Bringing the library up to date with the disks: roots, walk, compare, hash, write, report."""

from mlib.services.scanning.places import check_request
from mlib.services.scanning.report import ScanReport, ScanRequest
from mlib.services.scanning.scan import scan

__all__ = ["ScanReport", "ScanRequest", "check_request", "scan"]
