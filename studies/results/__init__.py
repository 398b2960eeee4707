"""`make results`: the 16 sweeps of five reports, run again with repeats, into RESULTS.md.

claims     what a report says, as data, and what becomes of it by the evidence
reports    the sweeps: what was found there, and claimed
figures    everything that was found, as data: RESULTS.json
work       every sweep to its end, then its test, opened on record; the default search
markdown   numbers, lists and tables
takeaways  what to take from the sweeps
document   the whole page, from the figures alone
"""
