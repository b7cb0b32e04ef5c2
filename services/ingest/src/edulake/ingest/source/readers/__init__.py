"""Readers turn a delivered file into one all-text parquet file, in a process of their own.

Nothing is interpreted here: `0031` stays `0031`. Nothing is lost silently either: what cannot be
kept exactly is refused with words, and a row of the wrong width is kept and marked in `_shape`.
"""
