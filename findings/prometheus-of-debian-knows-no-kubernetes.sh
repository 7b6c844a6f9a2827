#!/usr/bin/env bash
# Guess: Debian's package `prometheus` takes the configuration that Prometheus' documentation describes, service discovery included.
# So:    Debian 12 builds it without the discovery of Kubernetes: `kubernetes_sd_configs` is refused as an
#        unknown field, and the whole configuration with it. `file_sd_configs` is there.
# Seen:  Debian 12, prometheus 2.42.0+ds-5+deb12u1.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
apt-get -q download prometheus=2.42.0+ds-5+deb12u1 >apt.log 2>&1 || { cat apt.log; exit 1; }
dpkg -x prometheus_*.deb package
cat > kubernetes.yml <<'YAML'
scrape_configs:
  - job_name: pods
    kubernetes_sd_configs: [{role: pod, api_server: "http://127.0.0.1:1"}]
YAML
cat > file.yml <<'YAML'
scrape_configs:
  - job_name: pods
    file_sd_configs: [{files: ["/nowhere/*.json"]}]
YAML
package/usr/bin/promtool check config file.yml
said=$(package/usr/bin/promtool check config kubernetes.yml 2>&1) && { echo "the behaviour has changed"; exit 1; }
echo "$said"
[[ $said == *"field kubernetes_sd_configs not found"* ]] || { echo "the behaviour has changed"; exit 1; }
