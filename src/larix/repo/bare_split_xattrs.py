"""Layout of mode `bare-split-xattrs`: as `bare`, but extended attributes lie beside the file. It is only read.

ab/cdef….file                the file itself, with its owner and mode
ab/cdef….file-xattrs-link    its attributes, a(ayay); a hard link to the next
12/3456….file-xattrs         the same, under the checksum of these bytes
"""

import larix.gvariant as gvariant
from larix.formats import xattrs as xattr_format
from larix.formats.objects import MAX_METADATA_SIZE
from larix.linux import reading
from larix.repo.bare import Bare
from larix.repo.layout import StoredFile


class BareSplitXattrs(Bare):
    mode = "bare-split-xattrs"
    writable = False

    def read(self, name: str, dir_fd: int, *, exact: bool = False) -> StoredFile:
        stored = super().read(name, dir_fd, exact=exact)
        try:
            data = reading.read(f"{name}-xattrs-link", dir_fd, MAX_METADATA_SIZE)
            pairs = xattr_format.from_variant(gvariant.decode(xattr_format.TYPE, data))
        except BaseException:
            stored.close()
            raise
        stored.header = stored.header._replace(xattrs=pairs)
        return stored
