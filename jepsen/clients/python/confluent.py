"""confluent-kafka (librdkafka): produce, member, stream and tail, by the contract in ../README.md."""
import base64
import json
import sys
import threading

from confluent_kafka import Consumer, Producer, TopicPartition


def to_bytes(text):
    return None if text is None else base64.b64decode(text)


def to_text(data):
    return None if data is None else base64.b64encode(data).decode()


def produce(bootstrap, topic, codec):
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True, "compression.type": codec,
                         "linger.ms": 5, "queue.buffering.max.messages": 1000000})
    failed = []
    for line in sys.stdin:
        record = json.loads(line)
        producer.produce(topic, partition=record["partition"], key=to_bytes(record["key"]), value=to_bytes(record["value"]),
                         headers=[(name, to_bytes(value)) for name, value in record["headers"]],
                         on_delivery=lambda error, _: error and failed.append(error))
        producer.poll(0)
    left = producer.flush(60)
    if left or failed:
        sys.exit(f"{left} unsent, failed: {failed[:3]}")


def member(bootstrap, topic, group):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest",
                         "session.timeout.ms": 6000, "heartbeat.interval.ms": 500, "auto.commit.interval.ms": 500})

    def assigned(_, partitions):
        print(json.dumps({"event": "assigned", "partitions": [p.partition for p in partitions]}), flush=True)

    consumer.subscribe([topic], on_assign=assigned)
    while True:
        for message in consumer.consume(500, 0.2):
            if message.error():
                print(message.error(), file=sys.stderr, flush=True)
                continue
            headers = [[name, to_text(value)] for name, value in message.headers() or []]
            print(json.dumps({"event": "record", "partition": message.partition(), "offset": message.offset(),
                              "key": to_text(message.key()), "value": to_text(message.value()), "headers": headers}))
        sys.stdout.flush()


def stream(bootstrap, topic, codec):
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True, "compression.type": codec,
                         "linger.ms": 5, "batch.size": 2000, "request.timeout.ms": 5000, "message.timeout.ms": 600000,
                         "socket.connection.setup.timeout.ms": 2000, "topic.metadata.refresh.interval.ms": 5000,
                         "reconnect.backoff.max.ms": 1000})

    def delivered(sequence):
        def told(error, message):
            print(f"failed {sequence} {error}" if error else f"ok {sequence} {message.offset()}", flush=True)
        return told

    is_over = threading.Event()

    def serve():
        while not is_over.is_set():
            producer.poll(0.05)

    server = threading.Thread(target=serve)
    server.start()
    for line in sys.stdin:
        sequence, partition, key, value = line.split()
        producer.produce(topic, partition=int(partition), key=to_bytes(key), value=to_bytes(value), on_delivery=delivered(sequence))
    is_over.set()
    server.join()
    producer.flush()


def tail(bootstrap, topic, places):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "auto.offset.reset": "earliest",
                         "enable.auto.commit": False, "max.partition.fetch.bytes": 20000,
                         "socket.connection.setup.timeout.ms": 2000, "topic.metadata.refresh.interval.ms": 5000,
                         "reconnect.backoff.max.ms": 1000})
    starts = [tuple(map(int, place.split(":"))) for place in places.split(",")]
    consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in starts])
    text = lambda data: to_text(data) or "-"
    poll = 0
    while True:
        poll += 1
        for message in consumer.consume(500, 0.2):
            if message.error():
                print(message.error(), file=sys.stderr, flush=True)
                continue
            print("read", poll, message.partition(), message.offset(), text(message.key()), text(message.value()))
        sys.stdout.flush()


{"produce": produce, "member": member, "stream": stream, "tail": tail}[sys.argv[1]](*sys.argv[2:5])
