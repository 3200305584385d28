// franz-go: produce and member, by the contract in ../README.md.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
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

func main() {
	run := map[string]func(string, string, string){"produce": produce, "member": member}[os.Args[1]]
	run(os.Args[2], os.Args[3], os.Args[4])
}
