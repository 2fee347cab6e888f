"""`alter.py ARCHIVE`: change a byte in the middle of each file in a tar archive."""

import sys
import tarfile

with tarfile.open(sys.argv[1]) as archive:
    places = [member.offset_data + member.size // 2 for member in archive if member.isfile()]
with open(sys.argv[1], "r+b") as file:
    for place in places:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 1]))
