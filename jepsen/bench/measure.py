"""What the benchmarks have in common: Kafka's tools, what a process has used, what is written, how a table is printed."""
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

BIN = pathlib.Path(os.environ.get("KAFKA_BIN", "."))
TICKS = os.sysconf("SC_CLK_TCK")
RECORD = 1024


def tool(name, *argv, check=True):
    """What a tool of Kafka's prints."""
    done = subprocess.run([BIN / name, *map(str, argv)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if check and done.returncode:
        sys.exit(f"{name} failed:\n{done.stdout}")
    return done.stdout


def cpu_seconds(pids):
    """User and system seconds of these processes so far."""
    ticks = 0
    for pid in pids:
        fields = open(f"/proc/{pid}/stat").read().rsplit(") ", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


def resident_mib(pids):
    return sum(int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{pid}/status").read()).group(1)) for pid in pids) // 1024


def payload():
    """64 JSON-like lines of exactly RECORD bytes: not zeros, not noise."""
    out = tempfile.NamedTemporaryFile("w", suffix=".txt", delete=False)
    for i in range(64):
        line = '{"id":%d,"user":"user-%d","action":"view","items":[' % (i * 7919, i * 31)
        while len(line) < RECORD - 40:
            line += '{"sku":%d,"price":%d.%02d},' % (len(line) * 977 % 99991, len(line) % 97, i)
        out.write((line + "x" * RECORD)[:RECORD] + "\n")
    out.close()
    return out.name


class Broker:
    """A broker or a cluster: where it is, and whose time and memory it costs."""

    def __init__(self, name, address, pids, replicas=1):
        self.name, self.address, self.pids, self.replicas = name, address, list(map(int, pids)), replicas

    def cost(self, count, work):
        """The result of `work`, and CPU seconds per GiB of `count` records."""
        before = cpu_seconds(self.pids)
        result = work()
        return result, (cpu_seconds(self.pids) - before) / (count * RECORD / 2**30)

    def produce(self, topic, count, file):
        text, cost = self.cost(count, lambda: tool(
            "kafka-producer-perf-test", "--bootstrap-server", self.address, "--topic", topic, "--num-records", count, "--payload-file", file,
            "--throughput", -1, "--command-property", "acks=all"))
        return float(re.findall(r"\(([\d.]+) MB/sec\)", text)[-1]), cost

    def consume(self, topic, count):
        text, cost = self.cost(count, lambda: tool(
            "kafka-consumer-perf-test", "--bootstrap-server", self.address, "--topic", topic, "--num-records", count, "--timeout", 60000))
        row = [part.strip() for part in re.findall(r"^20\d\d-.*$", text, re.M)[-1].split(",")]
        return float(row[-2]), cost

    def topic(self, name, partitions, *configs):
        argv = [word for config in configs for word in ("--config", config)]
        tool("kafka-topics", "--bootstrap-server", self.address, "--create", "--topic", name, "--partitions", partitions,
             "--replication-factor", self.replicas, *argv)

    def drop(self, name):
        tool("kafka-topics", "--bootstrap-server", self.address, "--delete", "--topic", name)


def warm(brokers, gib, file):
    """What a JVM needs; ours gets it, too."""
    for broker in brokers:
        for partitions in (1, 12):
            name = f"warm-{time.time_ns()}"
            broker.topic(name, partitions)
            records = int(gib / 2 * 2**30 / RECORD)
            broker.produce(name, records, file)
            broker.consume(name, records)
            broker.drop(name)


class Seen:
    """What was measured: pairs of a figure and a cost, by case and broker."""

    def __init__(self):
        self.cases = {}

    def note(self, number, case, broker, measured, units=("MB/s", "CPU s/GiB")):
        self.cases.setdefault(case, {}).setdefault(broker.name, []).append(measured)
        shown = "   ".join(f"{figure:8.2f} {unit}" for figure, unit in zip(measured, units))
        print(f"pass {number + 1}  {case:34} {broker.name:6} {shown}   load {os.getloadavg()[0]:.1f}", flush=True)

    def table(self, title, units, cases=None, digits=(0, 2)):
        """Medians, and the median of the ratios ours / theirs pair by pair."""
        heads = "".join(f" {unit} ours | theirs | ratio |" for unit in units)
        print(f"\n| {title} |{heads}\n|---|" + "---|" * 3 * len(units))
        for case, sides in self.cases.items():
            if cases is not None and case not in cases:
                continue
            ours, theirs, row = sides["ours"], sides["theirs"], [case]
            for index in range(len(units)):
                pairs = statistics.median(a[index] / b[index] for a, b in zip(ours, theirs) if b[index])
                medians = [statistics.median(one[index] for one in side) for side in (ours, theirs)]
                row += [f"{medians[0]:.{digits[index]}f}", f"{medians[1]:.{digits[index]}f}", f"**{pairs:.2f}**"]
            print("| " + " | ".join(row) + " |")
