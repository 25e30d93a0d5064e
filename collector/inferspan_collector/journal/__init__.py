"""The journal: what was acknowledged and is not in the store yet, on disk.

A request is answered once its rows stand here, in one append and one sync of the disk for all that
wait. The store takes them over in few, large transactions and says in the same transaction how far
it came; what lies before that is deleted. After a crash the rest is read back.

`packing` is rows as bytes, `segment` a file of records, `journal` the files, `repair` what can be
saved of damaged ones.
"""
