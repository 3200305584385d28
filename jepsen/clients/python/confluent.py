"""confluent-kafka (librdkafka): produce and member, by the contract in ../README.md."""
import base64
import json
import sys

from confluent_kafka import Consumer, Producer


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


{"produce": produce, "member": member}[sys.argv[1]](*sys.argv[2:5])
