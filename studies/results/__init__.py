"""`make results`: the 16 sweeps of five reports, run again with repeats, into RESULTS.md.

claims        what a report says, as data, and what becomes of it by the evidence
reports       the sweeps: what was found there, and claimed
side_by_side  trainings in processes of their own
work          every sweep to its end, then its test, opened on record
evidence      what the runs of a sweep say: differences and intervals, measure by measure
words         numbers, lists and tables as Markdown
rows          one row per sweep
sections      one section per sweep
levels        how good the configurations are, and how far they move
takeaways     what to take from it
document      the whole file
"""
