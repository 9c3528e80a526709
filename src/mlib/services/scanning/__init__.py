"""Bringing the library up to date with the disks: roots, walk, compare, hash, write, report."""

from mlib.services.scanning.request import ScanReport, ScanRequest, check_request
from mlib.services.scanning.run import scan

__all__ = ["ScanReport", "ScanRequest", "check_request", "scan"]
