#!/usr/bin/env bash
# Guess: a step larger than its field's range ("*/90" in the minutes) is refused, or fires every 90 minutes.
# So:    the parser that CronJobs use takes it and fires once an hour, at minute 0: the range has one element left.
# Seen:  Go module github.com/robfig/cron/v3 v3.0.1, the version in Kubernetes 1.37's go.mod.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
cat > main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/robfig/cron/v3"
)

func main() {
	schedule, err := cron.ParseStandard("*/90 * * * *")
	if err != nil {
		fmt.Println("refused:", err)
		os.Exit(1)
	}
	at := time.Date(2026, 1, 5, 8, 10, 0, 0, time.UTC)
	seen := ""
	for range 3 {
		at = schedule.Next(at)
		seen += at.Format("15:04 ")
	}
	fmt.Println(seen)
	if seen != "09:00 10:00 11:00 " {
		fmt.Println("the behaviour has changed")
		os.Exit(1)
	}
}
GO
cat > go.mod <<'MOD'
module finding

go 1.26

require github.com/robfig/cron/v3 v3.0.1
MOD
GOFLAGS=-mod=mod go run .
