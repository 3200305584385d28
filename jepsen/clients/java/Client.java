// Kafka's own client: stream and tail, by the contract in ../README.md. Run as source: java -cp "LIBS/*" Client.java VERB …

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

class Client {
    static final PrintStream OUT = new PrintStream(System.out, true);

    // What both verbs need: whom to ask, and not to wait long for a broker that is gone.
    static Properties settings(String bootstrap) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("request.timeout.ms", "5000");
        settings.put("socket.connection.setup.timeout.ms", "2000");
        settings.put("socket.connection.setup.timeout.max.ms", "4000");
        settings.put("metadata.max.age.ms", "5000");
        return settings;
    }

    static void stream(String bootstrap, String topic, String codec) throws Exception {
        Properties settings = settings(bootstrap);
        settings.put("acks", "all");
        settings.put("enable.idempotence", "true");
        settings.put("compression.type", codec);
        settings.put("linger.ms", "5");
        settings.put("batch.size", "2000");
        settings.put("delivery.timeout.ms", "600000");
        settings.put("max.block.ms", "600000");
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                String[] words = line.split(" ");
                Base64.Decoder base64 = Base64.getDecoder();
                byte[] key = base64.decode(words[2]), value = base64.decode(words[3]);
                producer.send(new ProducerRecord<>(topic, Integer.parseInt(words[1]), key, value), (written, error) -> {
                    if (error == null) {
                        OUT.println("ok " + words[0] + " " + (written.hasOffset() ? written.offset() : -1));
                    } else {
                        OUT.println("failed " + words[0] + " " + error.toString().replace('\n', ' '));
                    }
                });
            }
            producer.flush();
        }
    }

    static void tail(String bootstrap, String topic, String places) {
        Properties settings = settings(bootstrap);
        settings.put("enable.auto.commit", "false");
        settings.put("auto.offset.reset", "earliest");
        settings.put("default.api.timeout.ms", "600000");
        settings.put("max.partition.fetch.bytes", "20000");
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> all = new ArrayList<>();
            String[] starts = places.split(",");
            for (String place : starts) {
                all.add(new TopicPartition(topic, Integer.parseInt(place.split(":")[0])));
            }
            consumer.assign(all);
            for (int i = 0; i < starts.length; i++) {
                consumer.seek(all.get(i), Long.parseLong(starts[i].split(":")[1]));
            }
            for (long poll = 0;; poll++) {
                StringBuilder lines = new StringBuilder();
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(500))) {
                    lines.append("read ").append(poll).append(' ').append(record.partition()).append(' ').append(record.offset())
                        .append(' ').append(text(record.key())).append(' ').append(text(record.value())).append('\n');
                }
                OUT.print(lines);
                OUT.flush();
            }
        }
    }

    static String text(byte[] bytes) {
        return bytes == null ? "-" : Base64.getEncoder().encodeToString(bytes);
    }

    public static void main(String[] words) throws Exception {
        if (words[0].equals("stream")) {
            stream(words[1], words[2], words[3]);
        } else {
            tail(words[1], words[2], words[3]);
        }
    }
}
