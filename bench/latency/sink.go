package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
	"github.com/f2bpipe/f2bpipe/sinks"
)

// measureSink is what the last stage alone needs for as many bans as nft is given.
func measureSink(o options) error {
	const perFlush = 4096
	var times []time.Duration
	for range o.rounds {
		took, err := fillOnce(o.many, perFlush)
		if err != nil {
			return err
		}
		times = append(times, took)
	}
	row(fmt.Sprintf("%d orders, %d a transaction: the sink alone", o.many, perFlush), "f2bpipe", "%s", ms(median(times)))
	return nil
}

// fillOnce bans n addresses and takes them away again, which is not measured.
func fillOnce(n, perFlush int) (time.Duration, error) {
	sink, err := sinks.OpenNFTables(sinks.Config{})
	if err != nil {
		return 0, err
	}
	defer sink.Close(true)
	jail := pipeline.NewJail("bench", pipeline.Policy{})
	if err := sink.SetJail(jail.Name, sinks.Action{}); err != nil {
		return 0, err
	}
	now := time.Now()
	orders := make([]pipeline.Order, n)
	for i := range orders {
		orders[i] = pipeline.Order{Verb: pipeline.VerbBan, Ban: pipeline.Ban{
			Jail: jail, ID: pipeline.AddrID(address(i)), AtNanos: now.UnixNano(), UntilNanos: now.Add(time.Hour).UnixNano(),
		}}
	}
	began := time.Now()
	for some := range slices.Chunk(orders, perFlush) {
		sink.Apply(context.Background(), began.UnixNano(), some)
	}
	took := time.Since(began)
	for i := range orders {
		if orders[i].Err != nil {
			return 0, fmt.Errorf("ban %v: %w", orders[i].Ban.ID, orders[i].Err)
		}
	}
	return took, nil
}
