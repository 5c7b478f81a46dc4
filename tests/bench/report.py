"""The report of the benchmarks: first the ratios, then the measurements from which they were computed."""

import os
import platform
import statistics
import textwrap
from html import escape
from typing import NamedTuple

OURS = "ckpt-tools"
MIB = 1 << 20


class Measured(NamedTuple):
    """One round of one contender, or the medians of its rounds."""

    wall: float
    cpu: float
    memory: float
    written: float
    out: float


def medians(rounds):
    """Returns the median of each number of one contender."""
    return Measured(*(statistics.median(values) for values in zip(*rounds)))


def interval(values):
    """Returns the 95 % confidence interval of the median: it is between two of the sorted values, whatever the
    distribution is. Fewer than six values have no such interval, so that it is infinite."""
    values, n = sorted(values), len(values)
    # Each value is below the true median with a probability of one half, so the number of such values is binomial.
    outside, term, skipped = 0.0, 0.5**n, -1
    while 2 * (outside + term) <= 0.05:
        outside, skipped = outside + term, skipped + 1
        term = term * (n - skipped) / (skipped + 1)
    return (values[skipped], values[n - 1 - skipped]) if skipped >= 0 else (0.0, float("inf"))


# A ratio counts as settled when its interval is narrower than this part of it.
NARROW = 0.10


class Result(NamedTuple):
    """One workload. `rounds` has all rounds of each contender. `targets` has the largest acceptable ratio of ckpt-tools
    to each peer. With `cpu`, the ratios are those of processor time instead of wall-clock time, with `size` those of the
    sizes of the outputs."""

    name: str
    rounds: dict
    targets: dict
    cpu: bool
    size: bool = False

    def times(self, who):
        if self.size:
            return [one.out for one in self.rounds[who]]
        return [one.cpu if self.cpu else one.wall for one in self.rounds[who]]

    def time(self, who):
        return statistics.median(self.times(who))

    def amount(self, who):
        return f"{self.time(who) / MIB:.1f} MiB" if self.size else f"{self.time(who):.3f} s"

    def median(self, who):
        return medians(self.rounds[who])

    def ratios(self, who, to):
        """Returns the ratio of each round, because the contenders of one round met the same machine."""
        return [one / max(other, 1e-6) for one, other in zip(self.times(who), self.times(to))]

    def ratio(self, who):
        return statistics.median(self.ratios(OURS, who))

    def interval(self, who):
        return interval(self.ratios(OURS, who))

    def settled(self, who):
        low, high = self.interval(who)
        return high - low < NARROW * self.ratio(who)

    def unsettled(self):
        return [who for who in self.others() if not self.settled(who)]

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
        """Returns the ratio of the limit to `who` if ckpt-tools misses the target and the limit misses it, too."""
        if not self.limit() or who == self.limit() or not self.missed(who):
            return None
        ratio = statistics.median(self.ratios(self.limit(), who))
        return ratio if ratio > self.target(who) else None

    def others(self):
        return [who for who in self.rounds if who != OURS]


class Growth(NamedTuple):
    """The same work on few entries and on about ten times as many. `medians` has both measurements of each contender."""

    name: str
    medians: dict
    few_entries: int
    many_entries: int

    def time(self, who=OURS):
        """Returns how many times as long ten times the work takes, scaled because the larger tree is not exactly ten
        times as large."""
        few, many = self.medians[who]
        return many.cpu / max(few.cpu, 1e-6) * 10 / (self.many_entries / self.few_entries)

    def others(self):
        return [who for who in self.medians if who != OURS]

    def bytes_each(self):
        few, many = self.medians[OURS]
        return max(0, many.memory - few.memory) / (self.many_entries - self.few_entries)


# Ten times the entries may take 11 times as long. Memory may grow a little with the entries, but
# not with their content.
TIME, BYTES, PEAK = 11, 100, 64 * MIB


def show_growth(growth):
    """Prints the result of one growth measurement."""
    verdict = "met" if growth.time() <= TIME and growth.bytes_each() <= BYTES else "missed"
    few, many = growth.medians[OURS]
    others = ", ".join(f"{who} {growth.time(who):.1f} times" for who in growth.others())
    print(
        f"== {growth.name}, {growth.few_entries} and {growth.many_entries} entries: CPU {few.cpu:.3f} s and"
        f" {many.cpu:.3f} s, {growth.time():.1f} times as long for ten times as much ({others}), {few.memory / MIB:.1f} and"
        f" {many.memory / MIB:.1f} MiB, {growth.bytes_each():.0f} bytes each  <= {TIME} and {BYTES} {verdict}",
        flush=True,
    )


def peak(results):
    """Returns the largest peak memory of ckpt-tools in the workloads without compression, and the workload."""
    # In the checkpoint of a container, the largest process is runc or CRIU.
    plain = [(r.median(OURS).memory, r.name) for r in results if "zstd" not in r.name and "of a container" not in r.name]
    return max(plain, default=None)


def show_peak(results):
    """Prints the largest peak memory."""
    if peak(results):
        memory, name = peak(results)
        verdict = "met" if memory < PEAK else "missed"
        print(f"== largest peak memory of ckpt-tools without compression: {memory / MIB:.1f} MiB, {name}  < {PEAK // MIB} {verdict}")


def bold_if(text, missed):
    return f"**{text}**" if missed else text


def growths(grown):
    """Yields the table of growth."""
    yield (
        f"| work | entries | CPU seconds | time for ten times the entries (≤ {TIME}) | other programs | peak MiB"
        f" | bytes for each additional entry (≤ {BYTES}) |"
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
    ours = result.median(OURS)
    unit = "CPU" if result.cpu else "output" if result.size else "clock"
    print(
        f"== {result.name}: {result.amount(OURS)} of {unit}, {ours.cpu:.3f} s CPU, {ours.memory / MIB:.0f} MiB,"
        f" {len(result.rounds[OURS])} rounds"
    )
    for who in result.others():
        m = result.median(who)
        low, high = result.interval(who)
        print(
            f"   {result.ratio(who):5.2f} [{low:.2f}, {high:.2f}] of {who:<42} {result.amount(who)}  CPU {m.cpu:.3f} s"
            f"  {m.memory / MIB:.0f} MiB  written {m.written / MIB:.0f}  out {m.out / MIB:.0f}  {result.verdict(who)}"
        )
    print(f"         {'':<45} ours: written {ours.written / MIB:.0f}  out {ours.out / MIB:.0f}", flush=True)


def ratios(results):
    """Yields the table of ratios, with one line for each workload."""
    peers = list(dict.fromkeys(who for r in results for who in r.others() if not who.startswith("limit")))
    yield "| workload | " + " | ".join(peers) + " | limit |"
    yield "|---|" + "---|" * (len(peers) + 1)
    for r in results:
        limit = r.limit()

        def cell(who):
            if who is None or who not in r.rounds:
                return ""
            target = "" if r.target(who) is None else f"≤ {r.target(who):.2f}"
            if beyond := r.beyond_reach(who):
                target += f", limit {beyond:.2f}"
            wide = "" if r.settled(who) else " [{:.2f}, {:.2f}]".format(*r.interval(who))
            return bold_if(f"{r.ratio(who):.2f}", r.missed(who)) + wide + (f" ({target})" if target else "")

        limited = f"{cell(limit)} of {limit.removeprefix('limit: ')}" if limit else ""
        name = r.name + (" (CPU)" if r.cpu else "")
        yield f"| {name} | " + " | ".join(cell(who) for who in peers) + f" | {limited} |"


def details(results):
    """Yields the table of measurements."""
    yield (
        "| workload | program | rounds | seconds | CPU seconds | peak MiB | MiB written to disk | MiB of output"
        " | bytes written per byte of output |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for r in results:
        if r.size:
            continue  # The measurements are those of the workload before it.
        for who, rounds in r.rounds.items():
            m = medians(rounds)
            # Only if the output is a file: output to a pipe is not written to a disk.
            each = f"{m.written / m.out:.2f}" if m.written and m.out else ""
            yield (
                f"| {r.name} | {who} | {len(rounds)} | {m.wall:.3f} | {m.cpu:.3f} | {m.memory / MIB:.1f}"
                f" | {m.written / MIB:.0f} | {m.out / MIB:.0f} | {each} |"
            )


# The workloads in the picture of the README, with a title that a reader understands who does not know the benchmarks.
OVERVIEW = {
    "create small to a pipe": "small files into a tar",
    "extract small on tmpfs": "small files out of a tar",
    "checkpoint of a container, none": "checkpoint of a running container into one file, with CRIU's dump",
    "restore of a container, none": "restore of a container from one file, with CRIU's restore",
}


def plot(results, titles=None):
    """Returns an SVG with a bar for each contender of each workload. The slowest contender has full width. With `titles`,
    only those workloads."""
    label, bars, beside, bar, gap = 300, 430, 210, 13, 24
    width = label + bars + beside
    rows, y = [], 34
    for r in results:
        if titles is not None and r.name not in titles:
            continue
        slowest = max(r.time(who) for who in r.rounds)
        title = (titles or {}).get(r.name, r.name) + (" (CPU time)" if r.cpu else "")
        rows.append(f'<text class="h" x="8" y="{y}">{escape(title)}</text>')
        y += 7
        for who in r.rounds:
            kind = "ours" if who == OURS else "limit" if who.startswith("limit") else "peer"
            length = max(1, round(r.time(who) / slowest * bars))
            ratio = "" if who == OURS else f", ckpt-tools: {r.ratio(who):.2f} of it"
            rows.append(f'<text x="{label - 6}" y="{y + bar - 3}" text-anchor="end">{escape(who)}</text>')
            rows.append(f'<rect class="{kind}" x="{label}" y="{y}" width="{length}" height="{bar - 2}"/>')
            rows.append(f'<text x="{label + length + 5}" y="{y + bar - 3}">{r.amount(who)}{ratio}</text>')
            y += bar
        y += gap
    style = (
        "text{font:10px sans-serif;fill:#444}.h{font:bold 12px sans-serif;fill:#222}"
        ".ours{fill:#2a6f97}.peer{fill:#b8b8b8}.limit{fill:#8fb996}"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" height="{y}">'
    ground = f'<rect width="{width}" height="{y}" fill="#fff"/>'
    return "\n".join([head, f"<style>{style}</style>", ground, *rows, "</svg>", ""])


def prose(*lines):
    """Returns a paragraph, wrapped at 100 columns."""
    return textwrap.fill(" ".join(lines), 100, break_long_words=False, break_on_hyphens=False)


def checkpoint_note(results):
    """Returns the explanation of the lines about a real container, or of their absence."""
    if not any("of a container" in r.name for r in results):
        return [prose("podman could not be run on this host (`tests/host`): its export of a container was not measured."), ""]
    return [
        prose(
            "\"Checkpoint of a container\" includes CRIU's dump: it compares `podman container checkpoint --export` with",
            "`runc checkpoint`, `rootfs-diff`, `vol-archive` and `ckpt-pack`, for two containers of the same kind that keep",
            "running. The limit is the dump, which both include. \"Restore of a container\" compares `podman container restore",
            "--import` with `ckpt-unpack`, `spec-gen` and `runc restore`, into an empty volume.",
        ),
        "",
    ]


def growth_section(grown):
    if not grown:
        return []
    return [
        "## Ten times the entries",
        "",
        prose(
            "The other programs were measured in turns with ckpt-tools. If the times of all programs grow alike, the reason is the",
            "machine, whose caches hold the small tree but not the large one; the limit spends nearly all of its time in the kernel.",
        ),
        "",
        *growths(grown),
        "",
    ]


# Counted by hand; vol-archive/tests/calls.rs limits the numbers of vol-archive.
SYSTEM_CALLS = [
    "## System calls",
    "",
    prose(
        "The number of system calls does not depend on the machine. These were counted by `strace -f -c` for 2,000 small cached",
        "files in 20 directories. `vol-archive/tests/calls.rs` limits the system calls, instructions and memory per file.",
    ),
    "",
    "| system calls | create a tar | extract it |",
    "|---|---|---|",
    "| `vol-archive` | 10,404 | 10,550 |",
    "| GNU tar 1.34 | 13,311 | 13,395 |",
    "| GNU tar 1.34 `--xattrs --acls`, which preserves the same metadata | 17,555 | 15,440 |",
    "| bsdtar 3.6 | 37,352 | 30,673 |",
    "",
]


def memory_section(results):
    if not peak(results):
        return []
    memory, name = peak(results)
    most = bold_if(f"{memory / MIB:.1f} MiB", memory >= PEAK)
    return [f"Largest peak memory of ckpt-tools without compression (< {PEAK // MIB} MiB): {most}, {name}.", ""]


def write(docs, results, grown, quick):
    """Writes the report and the plot."""
    size = "a fifth of the data" if quick else "all data"
    text = [
        "# Benchmarks",
        "",
        "<!-- Written by `make bench`; not edited by hand. -->",
        "",
        prose(
            f"Results of `make bench`: all programs take turns, with {size} and a warm cache unless the workload says otherwise,",
            f"on Linux {platform.release().split('-')[0]} with {os.cpu_count()} processors. On another machine, only the ratios are",
            "comparable.",
        ),
        "",
        prose(
            "Every number is the time of ckpt-tools divided by the time of the other program: 0.50 is half the time. It is the",
            "median of the ratios of all rounds. The rounds of a workload are repeated until the 95 % confidence interval of this",
            f"median is narrower than {NARROW * 100:.0f} % of it. If that was not reached, the interval follows the number in brackets. The",
            "target is in parentheses. A ratio that misses its target is **bold**, followed by the ratio of the limit if that",
            "misses the target as well.",
        ),
        "",
        prose(
            "ckpt-tools always preserves all metadata; GNU tar does so with `--xattrs --acls --numeric-owner -S`.",
            "containers/storage is the archiver of podman, called as podman calls it (`tests/bench/go/main.go`). The limit is a",
            "single-threaded program that does only the work that cannot be avoided, and does not preserve what a tar must",
            "preserve (`tests/bench/limits.c`).",
        ),
        "",
        *ratios(results),
        "",
        prose(
            "In \"content compared\", the two trees share no inodes, and ckpt-tools reads every file of both. containers/storage reads",
            "no file, because it compares only size and time; \"by size and time\" applies the same rule",
            "(`rootfs-diff --trust-mtime`).",
        ),
        "",
        *checkpoint_note(results),
        "![The same results as a bar chart](benchmarks.svg)",
        "",
        *growth_section(grown),
        *memory_section(results),
        *SYSTEM_CALLS,
        "## Measurements",
        "",
        prose(
            "Memory is the memory of the largest process of a pipeline. Bytes written to disk are the",
            "bytes that the kernel charges to the program; output to a pipe or to a tmpfs is not written",
            "to a disk.",
        ),
        "",
        *details(results),
        "",
    ]
    (docs / "benchmarks.md").write_text("\n".join(text))
    (docs / "benchmarks.svg").write_text(plot(results))
    (docs / "overview.svg").write_text(plot(results, OVERVIEW))
