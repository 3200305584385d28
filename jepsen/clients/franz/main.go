// franz-go: produce, member, stream and tail, by the contract in ../README.md.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type record struct {
	Event     string       `json:"event,omitempty"`
	Partition int32        `json:"partition"`
	Offset    int64        `json:"offset"`
	Key       *string      `json:"key"`
	Value     *string      `json:"value"`
	Headers   [][2]*string `json:"headers"`
}

type assigned struct {
	Event      string  `json:"event"`
	Partitions []int32 `json:"partitions"`
}

func toBytes(text *string) []byte {
	if text == nil {
		return nil
	}
	data, err := base64.StdEncoding.DecodeString(*text)
	if err != nil {
		panic(err)
	}
	if data == nil {
		return []byte{}
	}
	return data
}

func toText(data []byte) *string {
	if data == nil {
		return nil
	}
	text := base64.StdEncoding.EncodeToString(data)
	return &text
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func produce(bootstrap, topic, codec string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.DefaultProduceTopic(topic), kgo.AllowAutoTopicCreation(),
		kgo.ProducerBatchCompression(codecs[codec]), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		fail(err)
	}
	defer client.Close()
	scanner := bufio.NewScanner(os.Stdin)
	scanner.Buffer(nil, 1<<24)
	for scanner.Scan() {
		var in record
		if err := json.Unmarshal(scanner.Bytes(), &in); err != nil {
			fail(err)
		}
		out := &kgo.Record{Partition: in.Partition, Key: toBytes(in.Key), Value: toBytes(in.Value)}
		for _, header := range in.Headers {
			out.Headers = append(out.Headers, kgo.RecordHeader{Key: *header[0], Value: toBytes(header[1])})
		}
		client.Produce(context.Background(), out, func(_ *kgo.Record, err error) {
			if err != nil {
				fail(err)
			}
		})
	}
	if err := client.Flush(context.Background()); err != nil {
		fail(err)
	}
}

func member(bootstrap, topic, group string) {
	out := bufio.NewWriter(os.Stdout)
	tell := func(event any) {
		line, _ := json.Marshal(event)
		out.Write(append(line, '\n'))
	}
	// Balancing is cooperative: callbacks tell what came and what went.
	owned := map[int32]bool{}
	change := func(topics map[string][]int32, owns bool) {
		for _, partition := range topics[topic] {
			owned[partition] = owns
		}
		now := []int32{}
		for partition, is := range owned {
			if is {
				now = append(now, partition)
			}
		}
		tell(assigned{"assigned", now})
		out.Flush()
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(6*time.Second),
		kgo.HeartbeatInterval(500*time.Millisecond), kgo.AutoCommitInterval(500*time.Millisecond), kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, came map[string][]int32) { change(came, true) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, gone map[string][]int32) { change(gone, false) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, gone map[string][]int32) { change(gone, false) }))
	if err != nil {
		fail(err)
	}
	for {
		fetches := client.PollFetches(context.Background())
		for _, err := range fetches.Errors() {
			fmt.Fprintln(os.Stderr, err)
		}
		fetches.EachRecord(func(in *kgo.Record) {
			event := record{Event: "record", Partition: in.Partition, Offset: in.Offset, Key: toText(in.Key), Value: toText(in.Value),
				Headers: [][2]*string{}}
			for _, header := range in.Headers {
				name := header.Key
				event.Headers = append(event.Headers, [2]*string{&name, toText(header.Value)})
			}
			tell(event)
		})
		out.Flush()
		client.AllowRebalance()
	}
}

func number(text string) int64 {
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		fail(err)
	}
	return value
}

func stream(bootstrap, topic, codec string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(bootstrap, ",")...), kgo.DefaultProduceTopic(topic),
		kgo.ProducerBatchCompression(codecs[codec]), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(5*time.Millisecond),
		kgo.ProducerBatchMaxBytes(2000), kgo.ProduceRequestTimeout(5*time.Second), kgo.RequestTimeoutOverhead(2*time.Second),
		kgo.MetadataMaxAge(5*time.Second), kgo.DialTimeout(2*time.Second), kgo.UnknownTopicRetries(-1))
	if err != nil {
		fail(err)
	}
	var lock sync.Mutex
	scanner := bufio.NewScanner(os.Stdin)
	for scanner.Scan() {
		words := strings.Fields(scanner.Text())
		out := &kgo.Record{Partition: int32(number(words[1])), Key: toBytes(&words[2]), Value: toBytes(&words[3])}
		client.Produce(context.Background(), out, func(written *kgo.Record, err error) {
			lock.Lock()
			defer lock.Unlock()
			if err != nil {
				fmt.Println("failed", words[0], err)
			} else {
				fmt.Println("ok", words[0], written.Offset)
			}
		})
	}
	if err := client.Flush(context.Background()); err != nil {
		fail(err)
	}
	client.Close()
}

func tail(bootstrap, topic, places string) {
	starts := map[int32]kgo.Offset{}
	for _, place := range strings.Split(places, ",") {
		partition, offset, _ := strings.Cut(place, ":")
		starts[int32(number(partition))] = kgo.NewOffset().At(number(offset))
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(bootstrap, ",")...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: starts}), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxPartitionBytes(20000), kgo.RequestTimeoutOverhead(2*time.Second), kgo.MetadataMaxAge(5*time.Second),
		kgo.DialTimeout(2*time.Second))
	if err != nil {
		fail(err)
	}
	text := func(data []byte) string {
		if data == nil {
			return "-"
		}
		return *toText(data)
	}
	out := bufio.NewWriter(os.Stdout)
	for poll := 0; ; poll++ {
		fetches := client.PollFetches(context.Background())
		for _, err := range fetches.Errors() {
			fmt.Fprintln(os.Stderr, err)
		}
		fetches.EachRecord(func(in *kgo.Record) {
			fmt.Fprintln(out, "read", poll, in.Partition, in.Offset, text(in.Key), text(in.Value))
		})
		out.Flush()
	}
}

func main() {
	run := map[string]func(string, string, string){"produce": produce, "member": member, "stream": stream, "tail": tail}[os.Args[1]]
	run(os.Args[2], os.Args[3], os.Args[4])
}
