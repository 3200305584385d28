"""Clusters of three nodes on this machine, ours or Apache Kafka's, on the same configuration files."""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

from measure import BIN, tool

CLUSTER = "3Db5QLSqSZieL3rJBUUegA"


class Cluster:
    """Nodes 1 to 3, each broker and controller, in directories below `home`, on the ports from `port` on: three for clients, three for controllers."""

    def __init__(self, home, ottla, port, is_kafka=False, settings=()):
        self.home, self.ottla, self.port, self.is_kafka = pathlib.Path(home), ottla, port, is_kafka
        self.settings, self.nodes = dict(settings), {}
        self.bootstrap = ",".join(self.address(node) for node in (1, 2, 3))
        for taken in range(port, port + 6):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", taken)) == 0:
                    sys.exit(f"somebody listens on port {taken}: choose six others with --port")
        self.home.mkdir(exist_ok=True)
        for node in (1, 2, 3):
            self.properties(node).write_text(self.configuration(node))
            self.format(node)
            self.start(node)

    def properties(self, node):
        return self.home / f"node-{node}.properties"

    def configuration(self, node):
        port, controller = self.port + node - 1, self.port + node + 2
        voters = ",".join(f"{n}@127.0.0.1:{self.port + n + 2}" for n in (1, 2, 3))
        lines = {
            "process.roles": "broker,controller", "node.id": node, "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.quorum.voters": voters, "log.dirs": self.home / f"node-{node}", "min.insync.replicas": 2,
            "default.replication.factor": 3, "offsets.topic.replication.factor": 3, "offsets.topic.num.partitions": 3, **self.settings,
        }
        return "".join(f"{key}={value}\n" for key, value in lines.items())

    def format(self, node):
        own = [BIN / "kafka-storage", "format"] if self.is_kafka else [self.ottla, "storage", "format"]
        done = subprocess.run([*own, "-t", CLUSTER, "-c", self.properties(node)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            sys.exit(done.stdout)

    def start(self, node):
        own = [BIN / "kafka-server-start"] if self.is_kafka else [self.ottla, "serve", "-c"]
        log = open(self.home / f"node-{node}.log", "a")
        self.nodes[node] = subprocess.Popen([*own, self.properties(node)], stdout=log, stderr=log, start_new_session=True)

    def pids(self):
        """Of the brokers themselves: Kafka's start script becomes its Java."""
        return [process.pid for process in self.nodes.values()]

    def signal(self, node, what):
        os.killpg(self.nodes[node].pid, what)
        if what == signal.SIGKILL:
            self.nodes[node].wait()

    def stop(self):
        for process in self.nodes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def until(self, condition, limit=120, pause=0.5):
        end = time.monotonic() + limit
        while not condition():
            if time.monotonic() > end:
                sys.exit(f"{condition.__name__}: not within {limit} s; see {self.home}")
            time.sleep(pause)

    def answers(self):
        try:
            for node in range(3):
                socket.create_connection(("127.0.0.1", self.port + node), 1).close()
        except OSError:
            return False
        return self.controller() is not None

    def controller(self):
        text = tool("kafka-metadata-quorum", "--bootstrap-server", self.bootstrap, "describe", "--status", check=False)
        found = re.search(r"LeaderId:\s+(\d+)", text)
        return found and int(found.group(1))

    def address(self, node):
        return f"127.0.0.1:{self.port + node - 1}"

    def partitions(self, topic, without=None, patience=20):
        """Leader and number of replicas in sync of each partition, as the nodes but `without` know them. Asked with our own program: a Java tool
        takes seconds each time; `patience` is in seconds, since it may ask one that is frozen."""
        asked = ",".join(self.address(node) for node in (1, 2, 3) if node != without)
        done = subprocess.run([self.ottla, "topic", "describe", topic, "-b", asked, "-o", "json", "--timeout", str(patience)], capture_output=True, text=True)
        if done.returncode:
            return []
        return [(partition["leader"], len(partition["isr"])) for partition in json.loads(done.stdout)[0]["partitions"]]

    def topic(self, name, leader):
        """A topic of one partition that `leader` leads."""
        order = [leader] + [node for node in (1, 2, 3) if node != leader]
        tool("kafka-topics", "--bootstrap-server", self.bootstrap, "--create", "--topic", name, "--replica-assignment", ":".join(map(str, order)))
        self.until(lambda: self.partitions(name) == [(leader, 3)])
