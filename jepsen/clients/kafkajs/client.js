// kafkajs: produce and member, by the contract in ../README.md.
const { Kafka, CompressionTypes, logLevel } = require('kafkajs');
const readline = require('readline');

const [mode, bootstrap, topic, last] = process.argv.slice(2);
const kafka = new Kafka({ clientId: 'kafkajs-check', brokers: [bootstrap], logLevel: logLevel.ERROR });
const bytes = (text) => (text === null ? null : Buffer.from(text, 'base64'));
const text = (buffer) => (buffer === null || buffer === undefined ? null : Buffer.from(buffer).toString('base64'));

async function produce() {
  const producer = kafka.producer({ idempotent: false, allowAutoTopicCreation: true });
  await producer.connect();
  let messages = [];
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const record = JSON.parse(line);
    const headers = {};
    for (const [name, value] of record.headers) {
      // The library's way to say the same name twice is a list.
      if (name in headers) headers[name] = [].concat(headers[name], bytes(value));
      else headers[name] = bytes(value);
    }
    messages.push({ partition: record.partition, key: bytes(record.key), value: bytes(record.value), headers });
  }
  const compression = last === 'gzip' ? CompressionTypes.GZIP : CompressionTypes.None;
  for (let start = 0; start < messages.length; start += 500) {
    await producer.send({ topic, acks: -1, compression, messages: messages.slice(start, start + 500) });
  }
  await producer.disconnect();
}

async function member() {
  const consumer = kafka.consumer({ groupId: last, sessionTimeout: 6000, heartbeatInterval: 500, rebalanceTimeout: 10000 });
  consumer.on(consumer.events.GROUP_JOIN, (event) => {
    const partitions = event.payload.memberAssignment[topic] || [];
    console.log(JSON.stringify({ event: 'assigned', partitions }));
  });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    autoCommitInterval: 500,
    eachMessage: async ({ partition, message }) => {
      const headers = [];
      for (const [name, value] of Object.entries(message.headers || {})) {
        for (const one of Array.isArray(value) ? value : [value]) headers.push([name, text(one)]);
      }
      console.log(JSON.stringify({
        event: 'record', partition, offset: Number(message.offset), key: text(message.key), value: text(message.value), headers,
      }));
    },
  });
}

(mode === 'produce' ? produce() : member()).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
