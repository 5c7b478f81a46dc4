"""Writes the images of CRIU for a tree of many processes, with the fields that the tools read."""

import struct

# criu/include/magic.h
COMMON = 0x54564319
PSTREE, CORE, IDS, MM, FS, FDINFO, PAGEMAP, FILES, INVENTORY = (
    0x50273030, 0x55053847, 0x54432030, 0x57492820, 0x51403912, 0x56213732, 0x56084025, 0x56303138, 0x58313116
)
PAGE = 4096
MAPPINGS, DESCRIPTORS, PAGES = 30, 10, 3


def number(value):
    """Returns a variable-length number of protobuf."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def message(*fields):
    """Returns a message: each field is a number of the field with an integer, or with bytes."""
    out = b""
    for tag, value in fields:
        if isinstance(value, int):
            out += number(tag << 3) + number(value)
        else:
            out += number(tag << 3 | 2) + number(len(value)) + value
    return out


def image(magic, messages):
    head = struct.pack("<II", COMMON, magic)
    return head + b"".join(struct.pack("<I", len(entry)) + entry for entry in messages)


def memory(base):
    """Returns mm.img of a process whose mappings begin at `base`, with the arguments in the last one."""
    mapping = lambda i: message((1, base + 16 * i * PAGE), (2, base + (16 * i + 8) * PAGE), (3, 0), (4, 1), (5, 3), (6, 0x22), (7, 0x201))
    end = base + 16 * (MAPPINGS - 1) * PAGE
    fields = [(5, end), (6, 0), (7, 0), (8, end), (9, end + 16), (10, end + 16), (11, end + 32), (12, 1)]
    return message(*fields, *((14, mapping(i)) for i in range(MAPPINGS)))


def pagemap(pages_id, base):
    """Returns a pagemap with three runs of one page, of which the last one has the arguments."""
    run = lambda i: message((1, base + 16 * i * PAGE), (2, 1), (4, 4), (5, 1))
    return [message((1, pages_id)), *(run(i) for i in (0, 1, MAPPINGS - 1))]


def write(directory, processes):
    """Writes the images of `processes` processes: a first one, whose children have ten children each."""
    directory.mkdir()
    pids = range(1, processes + 1)
    parent = lambda pid: 0 if pid == 1 else (1 if pid % 11 == 2 else pid - (pid - 2) % 11)

    def put(name, magic, messages):
        (directory / f"{name}.img").write_bytes(image(magic, messages))

    put("inventory", INVENTORY, [message((1, 2), (3, message((1, 1), (2, 1), (3, 1), (4, 1))))])
    put("pstree", PSTREE, [message((1, pid), (2, parent(pid)), (3, 1), (4, 1), (5, pid)) for pid in pids])
    file = lambda id: message((1, 1), (2, id), (3, message((1, id), (2, 0), (3, 0), (6, b"/srv/data/file_%d" % id), (8, 100), (10, 0o100644))))
    put("files", FILES, [file(id) for id in range(1, processes * DESCRIPTORS + 1)])
    for pid in pids:
        base = 0x10000 * PAGE
        core = message((1, 1), (3, message((1, 1), (2, 0), (3, 0), (4, 0), (5, 0), (6, b"worker"))))
        put(f"core-{pid}", CORE, [core])
        put(f"ids-{pid}", IDS, [message((1, pid), (2, pid), (3, pid), (4, pid), (9, 1))])
        put(f"fs-{pid}", FS, [message((1, 1), (2, 1), (3, 0o22))])
        first = (pid - 1) * DESCRIPTORS + 1
        put(f"fdinfo-{pid}", FDINFO, [message((1, first + i), (2, 0), (3, 1), (4, i)) for i in range(DESCRIPTORS)])
        put(f"mm-{pid}", MM, [memory(base)])
        put(f"pagemap-{pid}", PAGEMAP, pagemap(pid, base))
        text = b"worker\0%07d\0\0" % pid + b"A=%013d\0" % pid
        pages = b"".join((b"%07d-%d " % (pid, i) * 512)[:PAGE] for i in range(PAGES - 1))
        (directory / f"pages-{pid}.img").write_bytes(pages + text.ljust(PAGE, b"\0"))
