#!/usr/bin/env bash
# Guess: an OpenTelemetry Collector put together in Go starts with receivers, exporters and the rest alone: what it tells of itself is
#        an option, and off without one.
# So:    otelcol.Factories without Telemetry compiles, and the program ends as soon as it has read its configuration. The factory is
#        in a package of its own (service/telemetry/otelconftelemetry), which the builder of collectors adds by itself.
# Seen:  go.opentelemetry.io/collector/otelcol v0.165.0.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
cat > main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/debugexporter"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry"
	"go.opentelemetry.io/collector/service/telemetry/otelconftelemetry"
)

const config = `yaml:
receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:0"}}}}
exporters: {debug: {}}
service:
  telemetry: {metrics: {level: none}}
  pipelines: {traces: {receivers: [otlp], exporters: [debug]}}`

// start says why the collector does not run, or nil once it does.
func start(told telemetry.Factory) error {
	factories := func() (otelcol.Factories, error) {
		receivers, err := otelcol.MakeFactoryMap[receiver.Factory](otlpreceiver.NewFactory())
		if err != nil {
			return otelcol.Factories{}, err
		}
		exporters, err := otelcol.MakeFactoryMap[exporter.Factory](debugexporter.NewFactory())
		return otelcol.Factories{Receivers: receivers, Exporters: exporters, Telemetry: told}, err
	}
	collector, err := otelcol.NewCollector(otelcol.CollectorSettings{
		BuildInfo: component.NewDefaultBuildInfo(),
		Factories: factories,
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
			URIs:              []string{config},
			ProviderFactories: []confmap.ProviderFactory{yamlprovider.NewFactory()},
		}},
	})
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- collector.Run(context.Background()) }()
	for collector.GetState() != otelcol.StateRunning {
		select {
		case err := <-ended:
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
	collector.Shutdown()
	return <-ended
}

func main() {
	with, without := start(otelconftelemetry.NewFactory()), start(nil)
	fmt.Println("with one:", with)
	fmt.Println("without:", without)
	if with != nil || without == nil {
		fmt.Println("the behaviour has changed")
		os.Exit(1)
	}
}
GO
go mod init finding >/dev/null 2>&1
for module in otelcol service receiver/otlpreceiver exporter/debugexporter; do GOFLAGS= go get "go.opentelemetry.io/collector/$module@v0.165.0" 2>/dev/null; done
GOFLAGS=-mod=mod go run . 2>collector.log || { cat collector.log; exit 1; }
