"""Creates the data of tests/scale/run. Each function fills a directory with `n` of something."""

import json
import os
import shutil
import subprocess

import criu

SPEC = {"ociVersion": "1.0.2", "process": {"args": ["x"], "cwd": "/"}, "mounts": [], "root": {"path": "rootfs"}}


def files(directory, n):
    """Fills a tree with n small files, twenty in each directory, as a volume and as the upper layer of an overlay."""
    tree, lower = layers(directory)
    for parent in range((n + 19) // 20):
        name = f"directory-{parent:06}"
        os.mkdir(tree / name)
        os.mkdir(lower / name)
        fill(tree / name, range(parent * 20, min(parent * 20 + 20, n)))
        # A file that the upper layer deletes.
        (lower / name / "deleted").touch()
        os.mknod(tree / name / "deleted", 0o20600, os.makedev(0, 0))
    mount(directory)


def directory(directory, n):
    """Fills one directory with n small files."""
    tree, _ = layers(directory)
    (tree / "all").mkdir()
    fill(tree / "all", range(n))
    mount(directory)


def pieces(directory, n):
    """Creates a file of 64 GiB with n pieces of data."""
    sparse(directory, 64, n)


def holes(directory, n):
    """Creates a file of n GiB with a thousand pieces of data."""
    sparse(directory, n, 1000)


def volumes(directory, n):
    """Creates n volumes with ten files each, and the operands of the commands."""
    bundle(directory)
    names = [f"volume-{i:04}" for i in range(n)]
    for name in names:
        (directory / "from" / name).mkdir(parents=True)
        fill(directory / "from" / name, range(10))
    (directory / "names").write_text(" ".join(names))
    (directory / "volumes").write_text(" ".join(f"{name}=from/{name}" for name in names))
    (directory / "extracted").write_text(" ".join(f"{name}=to/{name}" for name in names))
    (directory / "unpacked").write_text(" ".join(f"--volume {name}=to/{name}" for name in names))


def processes(directory, n):
    """Creates the images of n processes."""
    bundle(directory)
    shutil.rmtree(directory / "images")
    criu.write(directory / "images", n)


def bundle(directory):
    (directory / "bundle").mkdir()
    (directory / "bundle/config.json").write_text(json.dumps(SPEC))
    (directory / "images").mkdir()
    (directory / "images/inventory.img").touch()


def layers(directory):
    bundle(directory)
    for name in ("tree", "lower", "work", "merged"):
        (directory / name).mkdir()
    return directory / "tree", directory / "lower"


def mount(directory):
    options = f"lowerdir={directory}/lower,upperdir={directory}/tree,workdir={directory}/work"
    subprocess.check_call(["mount", "-t", "overlay", "overlay", "-o", options, directory / "merged"])


def remove(directory):
    """Removes a directory of data, or the directory of all data."""
    for mounted in (directory / "merged", *directory.glob("*/merged")):
        if os.path.ismount(mounted):
            subprocess.check_call(["umount", mounted])
    shutil.rmtree(directory)


def fill(directory, numbers):
    parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    for n in numbers:
        file = os.open(f"file-{n:07}", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=parent)
        os.write(file, b"content of file %d\n" % n)
        os.close(file)
    os.close(parent)


def sparse(directory, gib, pieces):
    tree, _ = layers(directory)
    with open(tree / "disk.img", "wb") as file:
        distance = (gib << 30) // pieces >> 12 << 12
        for n in range(pieces):
            os.pwrite(file.fileno(), (b"%015d\n" % n) * 256, n * distance)
        file.truncate(gib << 30)
    mount(directory)
