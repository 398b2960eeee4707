"""Figures of a study, each in two steps: gather a record, then draw it.

`…_info` is pure and returns a frozen record with its caption; `draw_…` takes the record and knows
nothing of studies. Names from outside are made harmless where a record is drawn.
"""
