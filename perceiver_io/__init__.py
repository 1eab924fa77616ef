"""Perceiver IO (Jaegle et al. 2021, arXiv 2107.14795)."""

from perceiver_io.load import load

__all__ = ['load']
