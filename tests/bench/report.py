"""What the bench shows: ratios first, then what they were taken from."""

import os
import platform
from html import escape
from typing import NamedTuple

OURS = "ckpt-tools"
MIB = 1 << 20


class Measured(NamedTuple):
    """Medians of one contender."""

    wall: float
    cpu: float
    memory: float
    written: float
    out: float


class Result(NamedTuple):
    """One workload. `targets` are the largest ratios of ours to a peer that are good enough; `cpu` tells that they
    are of processor time and not of the clock."""

    name: str
    medians: dict
    targets: dict
    cpu: bool

    def time(self, who):
        return self.medians[who].cpu if self.cpu else self.medians[who].wall

    def ratio(self, who):
        return self.time(OURS) / max(self.time(who), 1e-6)

    def target(self, who):
        return self.targets.get("limit" if who.startswith("limit") else who)

    def verdict(self, who):
        target = self.target(who)
        if target is None:
            return ""
        return f"<= {target:.2f} {'missed' if self.missed(who) else 'met'}"

    def missed(self, who):
        return self.target(who) is not None and self.ratio(who) > self.target(who)

    def limit(self):
        return next((who for who in self.others() if who.startswith("limit")), None)

    def beyond_reach(self, who):
        """The ratio of the limit itself, where it does not reach what is missed."""
        if not self.limit() or who == self.limit() or not self.missed(who):
            return None
        ratio = self.time(self.limit()) / max(self.time(who), 1e-6)
        return ratio if ratio > self.target(who) else None

    def others(self):
        return [who for who in self.medians if who != OURS]


class Growth(NamedTuple):
    """The same work on few objects and on about ten times as many. `medians` are of both, for each contender."""

    name: str
    medians: dict
    few_entries: int
    many_entries: int

    def time(self, who=OURS):
        """The time of tenfold work as a multiple: what was counted is not exactly ten times as much."""
        few, many = self.medians[who]
        return many.cpu / max(few.cpu, 1e-6) * 10 / (self.many_entries / self.few_entries)

    def others(self):
        return [who for who in self.medians if who != OURS]

    def bytes_each(self):
        few, many = self.medians[OURS]
        return max(0, many.memory - few.memory) / (self.many_entries - self.few_entries)


# 10 times the files, 11 times the time; an entry may leave a trace in memory, its content may not.
TIME, BYTES, PEAK = 11, 100, 64 * MIB


def show_growth(growth):
    """Prints one line of growth."""
    verdict = "met" if growth.time() <= TIME and growth.bytes_each() <= BYTES else "missed"
    few, many = growth.medians[OURS]
    others = ", ".join(f"{who} {growth.time(who):.1f} times" for who in growth.others())
    print(
        f"== {growth.name}, {growth.few_entries} and {growth.many_entries} objects: CPU {few.cpu:.3f} s and"
        f" {many.cpu:.3f} s, {growth.time():.1f} times as long for ten times as much ({others}), {few.memory / MIB:.1f} and"
        f" {many.memory / MIB:.1f} MiB, {growth.bytes_each():.0f} bytes each  <= {TIME} and {BYTES} {verdict}",
        flush=True,
    )


def peak(results):
    """The workload without compression that took most memory of ours, and how much."""
    # Of a checkpoint the largest process is runc or CRIU.
    plain = [(r.medians[OURS].memory, r.name) for r in results if "zstd" not in r.name and "of a container" not in r.name]
    return max(plain, default=None)


def show_peak(results):
    """Prints the largest peak."""
    if peak(results):
        memory, name = peak(results)
        verdict = "met" if memory < PEAK else "missed"
        print(f"== most memory of ckpt-tools without compression: {memory / MIB:.1f} MiB, {name}  < {PEAK // MIB} {verdict}")


def bold_if(text, missed):
    return f"**{text}**" if missed else text


def growths(grown):
    """The table of growth."""
    yield (
        f"| work | objects | CPU seconds | time for tenfold work (≤ {TIME}) | of others | peak MiB"
        f" | bytes for each object more (≤ {BYTES}) |"
    )
    yield "|---|---|---|---|---|---|---|"
    for g in grown:
        few, many = g.medians[OURS]
        others = ", ".join(f"{who} {g.time(who):.1f}" for who in g.others())
        yield (
            f"| {g.name} | {g.few_entries}, {g.many_entries} | {few.cpu:.3f}, {many.cpu:.3f}"
            f" | {bold_if(f'{g.time():.1f}', g.time() > TIME)} | {others} | {few.memory / MIB:.1f}, {many.memory / MIB:.1f}"
            f" | {bold_if(f'{g.bytes_each():.0f}', g.bytes_each() > BYTES)} |"
        )


def show(result):
    """Prints one workload."""
    ours = result.medians[OURS]
    unit = "CPU" if result.cpu else "clock"
    print(f"== {result.name}: {result.time(OURS):.3f} s of {unit}, {ours.cpu:.3f} s CPU, {ours.memory / MIB:.0f} MiB")
    for who in result.others():
        m = result.medians[who]
        print(
            f"   {result.ratio(who):5.2f} of {who:<42} {result.time(who):.3f} s  CPU {m.cpu:.3f} s"
            f"  {m.memory / MIB:.0f} MiB  written {m.written / MIB:.0f}  out {m.out / MIB:.0f}  {result.verdict(who)}"
        )
    print(f"         {'':<45} ours: written {ours.written / MIB:.0f}  out {ours.out / MIB:.0f}", flush=True)


def ratios(results):
    """The table of ratios: one line for each workload."""
    peers = list(dict.fromkeys(who for r in results for who in r.others() if not who.startswith("limit")))
    yield "| workload | " + " | ".join(peers) + " | limit |"
    yield "|---|" + "---|" * (len(peers) + 1)
    for r in results:
        limit = r.limit()

        def cell(who):
            if who is None or who not in r.medians:
                return ""
            target = "" if r.target(who) is None else f"≤ {r.target(who):.2f}"
            if beyond := r.beyond_reach(who):
                target += f", the limit itself {beyond:.2f}"
            return bold_if(f"{r.ratio(who):.2f}", r.missed(who)) + (f" ({target})" if target else "")

        limited = f"{cell(limit)} of {limit.removeprefix('limit: ')}" if limit else ""
        name = r.name + (" (CPU)" if r.cpu else "")
        yield f"| {name} | " + " | ".join(cell(who) for who in peers) + f" | {limited} |"


def details(results):
    """The table of what was measured."""
    yield "| workload | who | seconds | CPU seconds | peak MiB | MiB written to disk | MiB out | written for each byte out |"
    yield "|---|---|---|---|---|---|---|---|"
    for r in results:
        for who, m in r.medians.items():
            # Only where the output is a file: what goes to a pipe is not written.
            each = f"{m.written / m.out:.2f}" if m.written and m.out else ""
            yield (
                f"| {r.name} | {who} | {m.wall:.3f} | {m.cpu:.3f} | {m.memory / MIB:.1f}"
                f" | {m.written / MIB:.0f} | {m.out / MIB:.0f} | {each} |"
            )


def plot(results):
    """A bar for each contender of each workload, as long as it took; the slowest of a workload is full width."""
    width, label, bar, gap = 900, 250, 13, 24
    rows, y = [], 34
    for r in results:
        slowest = max(r.time(who) for who in r.medians)
        rows.append(f'<text class="h" x="8" y="{y}">{escape(r.name)}{" (CPU time)" if r.cpu else ""}</text>')
        y += 7
        for who in r.medians:
            kind = "ours" if who == OURS else "limit" if who.startswith("limit") else "peer"
            length = max(1, round(r.time(who) / slowest * (width - label - 130)))
            beside = "" if who == OURS else f", ours is {r.ratio(who):.2f} of it"
            rows.append(f'<text x="{label - 6}" y="{y + bar - 3}" text-anchor="end">{escape(who[:42])}</text>')
            rows.append(f'<rect class="{kind}" x="{label}" y="{y}" width="{length}" height="{bar - 2}"/>')
            rows.append(f'<text x="{label + length + 5}" y="{y + bar - 3}">{r.time(who):.3f} s{beside}</text>')
            y += bar
        y += gap
    style = (
        "text{font:10px sans-serif;fill:#444}.h{font:bold 12px sans-serif;fill:#222}"
        ".ours{fill:#2a6f97}.peer{fill:#b8b8b8}.limit{fill:#8fb996}"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" height="{y}">'
    ground = f'<rect width="{width}" height="{y}" fill="#fff"/>'
    return "\n".join([head, f"<style>{style}</style>", ground, *rows, "</svg>", ""])


def checkpoint_note(results):
    """What the lines of a real container are; nothing where there is none."""
    if not any("of a container" in r.name for r in results):
        return ["No podman could be run here (`tests/host`): its own export of a container was not measured.", ""]
    return [
        "\"Checkpoint of a container\" is the whole of it, CRIU's dump included: `podman container checkpoint --export` beside",
        "`runc checkpoint`, `rootfs-diff`, `vol-archive` and `ckpt-pack`, of two containers of one kind that go on running; the",
        "limit is the dump, which is in both. \"Restore\" is `podman container restore --import` beside `ckpt-unpack`, `spec-gen`",
        "and `runc restore`, into an empty volume. These are medians of half the rounds.",
        "",
    ]


def growth_section(grown):
    if not grown:
        return []
    return [
        "## Ten times as much",
        "",
        "Beside ours stands what others take for ten times as much, measured in turns with it. Where all grow alike it is the",
        "machine, whose caches hold the few files and not the many; the limit is in the kernel nearly all of its time.",
        "",
        *growths(grown),
        "",
    ]


def memory_section(results):
    if not peak(results):
        return []
    memory, name = peak(results)
    most = bold_if(f"{memory / MIB:.1f} MiB", memory >= PEAK)
    return [f"Most memory of ckpt-tools without compression (< {PEAK // MIB} MiB): {most}, {name}.", ""]


def write(docs, results, grown, runs, quick):
    """Writes the table and the plot."""
    size = "a fifth of the data" if quick else "all data"
    text = [
        "# Benchmarks",
        "",
        "<!-- Written by `make bench`; not edited by hand. -->",
        "",
        f"Made by `make bench`: medians of {runs} rounds in one run, all contenders taking turns, {size}, warm cache but where another is named;",
        f"Linux {platform.release().split('-')[0]}, {os.cpu_count()} processors. Only the ratios mean something on another machine.",
        "",
        "Every number is the time of ckpt-tools divided by the other's: 0.50 is half the time. In brackets what we",
        "aim at; **bold** where that is missed, with the ratio of the limit where that misses it too. The tools keep all metadata everywhere; GNU tar does with",
        "`--xattrs --acls --numeric-owner -S`. containers/storage is the archiver that podman calls, driven by the calls",
        "podman makes (`tests/bench/go/main.go`). The limit is a program of one thread that does the least with which the work",
        "can be done, and loses what a tar needs (`tests/bench/limits.c`).",
        "",
        *ratios(results),
        "",
        "The two trees of \"content compared\" share nothing, and every file of both is read; containers/storage never reads one, and",
        "believes size and time. \"By size and time\" is that rule (`rootfs-diff --trust-mtime`).",
        "",
        *checkpoint_note(results),
        "![The same as bars](benchmarks.svg)",
        "",
        *growth_section(grown),
        *memory_section(results),
        "## What was measured",
        "",
        "Memory is the largest of the processes of a pipeline. Bytes on disk are those the kernel charges to the",
        "contender; what goes to a pipe or to tmpfs is not on disk.",
        "",
        *details(results),
        "",
    ]
    (docs / "benchmarks.md").write_text("\n".join(text))
    (docs / "benchmarks.svg").write_text(plot(results))
