"""merge"""


def merge_corrections(): ...
