"""Pairs → findings and a dataset: rules in families, an engine that runs them over batches of lines, and reports.

The way of a line: ``lines`` cuts it out of its file, ``check`` parses it, holds it to the schema and puts it into
canonical form (``row``, ``batch``), the rules in ``rules`` look at it, ``work`` writes it to a shard or to
quarantine. When all parts of the input are done, ``clashes`` finds rows that contradict or repeat each other
(``buckets`` keeps the memory for that small), ``audit`` looks at a sample of all rows (``sampling``), and ``assemble``
builds the dataset. ``fixing`` mends files before that.
"""
