"""Lists tars with GNU tar, libarchive (the library of bsdtar) and Python's tarfile.

Usage: others.py DIR. Prints one line of JSON for each DIR/N.tar, from 0 on: an object with the list of
entries of each reader. Bytes are in hexadecimal. The list ends at the first error of the reader, and
the last element is then the error.
"""

import calendar
import ctypes
import json
import locale
import os
import re
import subprocess
import sys
import tarfile

# Files with more content are listed without it.
MOST = 1 << 20


def entry(name, kind, mode, size, mtime, nsec, link, xattrs, content):
    return {
        "name": name.hex(),
        "kind": kind,
        "mode": mode & 0o7777,
        "size": size,
        "mtime": mtime,
        "nsec": nsec,
        "link": link.hex(),
        "xattrs": {name.hex(): value.hex() for name, value in xattrs.items()} if xattrs is not None else None,
        "content": content.hex() if content is not None else None,
    }


def python(path):
    kinds = {
        tarfile.REGTYPE: "file", tarfile.AREGTYPE: "file", tarfile.CONTTYPE: "file",
        tarfile.GNUTYPE_SPARSE: "file", tarfile.LNKTYPE: "hard", tarfile.SYMTYPE: "link",
        tarfile.CHRTYPE: "char", tarfile.BLKTYPE: "block", tarfile.DIRTYPE: "dir", tarfile.FIFOTYPE: "fifo",
    }
    found = []
    raw = lambda text: text.encode("utf-8", "surrogateescape")
    try:
        with tarfile.open(path, "r:", encoding="utf-8", errors="surrogateescape") as tar:
            for member in tar:
                if member.type == b"V":
                    # The label of a volume is not an entry.
                    continue
                kind = kinds.get(member.type, f"type {member.type!r}")
                prefix = "SCHILY.xattr."
                xattrs = {
                    raw(key[len(prefix):]): raw(value)
                    for key, value in member.pax_headers.items() if key.startswith(prefix)
                }
                content = None
                if kind == "file" and member.size <= MOST:
                    content = tar.extractfile(member).read()
                link = raw(member.linkname) if kind in ("hard", "link") else b""
                size = member.size if kind == "file" else 0
                # A fraction in a float is not exact, so tarfile has no nanoseconds.
                found.append(entry(raw(member.name), kind, member.mode, size, int(member.mtime // 1), None, link,
                                   xattrs, content))
    except (tarfile.TarError, OSError, ValueError, OverflowError, MemoryError, IndexError, EOFError) as error:
        found.append(f"{type(error).__name__}: {error}")
    return found


class Libarchive:
    KINDS = {0o100000: "file", 0o120000: "link", 0o020000: "char", 0o060000: "block", 0o040000: "dir", 0o010000: "fifo"}

    def __init__(self):
        self.lib = lib = ctypes.CDLL("libarchive.so.13")
        pointer, text = ctypes.c_void_p, ctypes.c_char_p
        for name, result, arguments in [
            ("archive_read_new", pointer, []),
            ("archive_read_free", ctypes.c_int, [pointer]),
            ("archive_read_support_format_tar", ctypes.c_int, [pointer]),
            ("archive_read_open_filename", ctypes.c_int, [pointer, text, ctypes.c_size_t]),
            ("archive_read_next_header", ctypes.c_int, [pointer, ctypes.POINTER(pointer)]),
            ("archive_error_string", text, [pointer]),
            ("archive_entry_pathname", text, [pointer]),
            ("archive_entry_hardlink", text, [pointer]),
            ("archive_entry_symlink", text, [pointer]),
            ("archive_entry_filetype", ctypes.c_uint, [pointer]),
            ("archive_entry_perm", ctypes.c_uint, [pointer]),
            ("archive_entry_size", ctypes.c_int64, [pointer]),
            ("archive_entry_mtime", ctypes.c_int64, [pointer]),
            ("archive_entry_mtime_nsec", ctypes.c_long, [pointer]),
            ("archive_entry_xattr_reset", ctypes.c_int, [pointer]),
            ("archive_entry_xattr_next", ctypes.c_int,
             [pointer, ctypes.POINTER(text), ctypes.POINTER(pointer), ctypes.POINTER(ctypes.c_size_t)]),
            ("archive_read_data_block", ctypes.c_int,
             [pointer, ctypes.POINTER(pointer), ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_int64)]),
        ]:
            function = getattr(lib, name)
            function.restype, function.argtypes = result, arguments

    def content(self, archive, size):
        content = bytearray(size)
        block, length, offset = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_int64()
        while True:
            status = self.lib.archive_read_data_block(archive, block, length, offset)
            if status == 1:
                return bytes(content)
            if status < 0:
                return None
            content[offset.value:offset.value + length.value] = ctypes.string_at(block, length.value)

    def xattrs(self, item):
        found = {}
        name, value, length = ctypes.c_char_p(), ctypes.c_void_p(), ctypes.c_size_t()
        self.lib.archive_entry_xattr_reset(item)
        while self.lib.archive_entry_xattr_next(item, name, value, length) == 0:
            found[name.value] = ctypes.string_at(value, length.value) if value.value else b""
        return found

    def list(self, path):
        lib, found = self.lib, []
        archive = lib.archive_read_new()
        lib.archive_read_support_format_tar(archive)
        status = lib.archive_read_open_filename(archive, os.fsencode(path), 10240)
        item = ctypes.c_void_p()
        while status >= -20:
            status = lib.archive_read_next_header(archive, item)
            if status == 1:
                lib.archive_read_free(archive)
                return found
            # -20 is a warning, for example about a name that is not UTF-8. -10 is a block that is not
            # a header.
            if status < -20 or status == -10:
                break
            hard = lib.archive_entry_hardlink(item)
            kind = "hard" if hard is not None else self.KINDS.get(lib.archive_entry_filetype(item), "unknown")
            link = hard if hard is not None else lib.archive_entry_symlink(item) or b""
            size = lib.archive_entry_size(item) if kind == "file" else 0
            content = None
            if kind == "file" and 0 <= size <= MOST:
                content = self.content(archive, size)
                if content is None:
                    break
            found.append(entry(lib.archive_entry_pathname(item) or b"", kind, lib.archive_entry_perm(item), size,
                               lib.archive_entry_mtime(item), lib.archive_entry_mtime_nsec(item), link,
                               self.xattrs(item), content))
        found.append((lib.archive_error_string(archive) or b"error").decode("utf-8", "replace"))
        lib.archive_read_free(archive)
        return found


LINE = re.compile(
    rb'(?P<kind>.)(?P<mode>[-rwxsStT]{9})\S* +\S+ +(?P<size>\d+(,\d+)?|\d+, *\d+) '
    rb'(?P<time>\S+( \d\d:\d\d:\d\d(\.\d+)?)?) +"(?P<name>([^"\\]|\\.)*)"'
    rb'(?P<how> -> | link to )?("(?P<link>([^"\\]|\\.)*)")?(?P<rest>.*)', re.S)
ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}


def unquoted(text):
    def byte(match):
        code = match[1]
        return bytes([int(code, 8)]) if code[:1].isdigit() else ESCAPES.get(code, code)
    return re.sub(rb"\\([0-7]{3}|.)", byte, text)


def bits(text):
    """Returns the number of a mode such as rwsr-x--t."""
    mode = 0
    for at, letter in enumerate(text.decode()):
        if letter in "rwxst":
            mode |= 1 << (8 - at)
        if letter in "sStT":
            mode |= (0o4000, 0o2000, 0o1000)[at // 3]
    return mode


def seconds(text):
    match = re.fullmatch(rb"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(\.\d+)?", text)
    if not match:
        return None, None
    whole = calendar.timegm(tuple(int(part) for part in match.groups()[:6]))
    return whole, int(((match[7] or b".0")[1:] + b"000000000")[:9])


def gnu(path):
    kinds = {b"-": "file", b"C": "file", b"h": "hard", b"l": "link", b"c": "char", b"b": "block", b"d": "dir", b"p": "fifo"}
    command = ["tar", "-tvvP", "--full-time", "--numeric-owner", "--quoting-style=c", "-f", path]
    run = subprocess.run(command, capture_output=True, env={**os.environ, "TZ": "UTC", "LC_ALL": "C"}, timeout=20)
    found = []
    for line in run.stdout.split(b"\n"):
        match = LINE.fullmatch(line)
        # The label of a volume is not an entry.
        if not match or match["kind"] == b"V":
            continue
        kind = kinds.get(match["kind"], f"type {match['kind']!r}")
        mtime, nsec = seconds(match["time"])
        link = unquoted(match["link"] or b"")
        size = int(match["size"]) if kind == "file" else 0
        found.append(entry(unquoted(match["name"]), kind, bits(match["mode"]), size, mtime, nsec, link, None, None))
    if run.returncode != 0:
        found.append(run.stderr.decode("utf-8", "replace").replace("\n", "; "))
    return found


def main():
    # libarchive converts names between UTF-8 and the character set of the locale.
    locale.setlocale(locale.LC_ALL, "C.UTF-8")
    libarchive, number = Libarchive(), 0
    while os.path.exists(path := os.path.join(sys.argv[1], f"{number}.tar")):
        print(json.dumps({"GNU tar": gnu(path), "libarchive": libarchive.list(path), "Python": python(path)}))
        number += 1


main()
