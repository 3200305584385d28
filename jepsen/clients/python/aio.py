"""aiokafka: produce and member, by the contract in ../README.md."""
import asyncio
import base64
import json
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener


def to_bytes(text):
    return None if text is None else base64.b64decode(text)


def to_text(data):
    return None if data is None else base64.b64encode(data).decode()


async def produce(bootstrap, topic, codec):
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True,
                                compression_type=None if codec == "none" else codec, linger_ms=5)
    await producer.start()
    try:
        sent = []
        for line in sys.stdin:
            record = json.loads(line)
            # The library cannot send a header without a value.
            headers = [(name, to_bytes(value)) for name, value in record["headers"]]
            sent.append(await producer.send(topic, partition=record["partition"], key=to_bytes(record["key"]),
                                            value=to_bytes(record["value"]), headers=headers))
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


class Listener(ConsumerRebalanceListener):
    def on_partitions_revoked(self, revoked):
        pass

    def on_partitions_assigned(self, assigned):
        print(json.dumps({"event": "assigned", "partitions": [p.partition for p in assigned]}), flush=True)


async def member(bootstrap, topic, group):
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, auto_offset_reset="earliest",
                                session_timeout_ms=6000, heartbeat_interval_ms=500, auto_commit_interval_ms=500,
                                metadata_max_age_ms=2000)
    consumer.subscribe([topic], listener=Listener())
    await consumer.start()
    while True:
        batches = await consumer.getmany(timeout_ms=200)
        for partition, messages in batches.items():
            for message in messages:
                headers = [[name, to_text(value)] for name, value in message.headers]
                print(json.dumps({"event": "record", "partition": partition.partition, "offset": message.offset,
                                  "key": to_text(message.key), "value": to_text(message.value), "headers": headers}))
        sys.stdout.flush()


asyncio.run({"produce": produce, "member": member}[sys.argv[1]](*sys.argv[2:5]))
