"""The version of mal_mm."""

__version__ = '0.2.0'
