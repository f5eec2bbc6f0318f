"""Rows of files in other formats: JSONL, JSON arrays, CSV, TSV, Parquet, Arrow, data set folders and the hub."""
