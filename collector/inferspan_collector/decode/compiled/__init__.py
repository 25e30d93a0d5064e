"""The compiled part of decode: ordinary records of a request's bytes → numbers, codes and places.

Functions take addresses as integers, not arrays, for an array handed to another compiled function
costs more than most of them do. So nothing checks bounds for us: whoever reads at an address has
compared it with the end of the bytes it stands in, and `tests/collector/test_decode_bounds.py` puts
a page that cannot be read behind every body.

Whatever is out of the ordinary is left to the protobuf library and the readers in Python; nothing
here refuses anything. See docs/decisions/0015-two-ways-to-read-one-definition.md.
"""
