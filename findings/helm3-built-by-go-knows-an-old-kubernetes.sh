#!/usr/bin/env bash
# Guess: Helm 3 built from its module by `go install` renders as the released program of that version does: without a cluster,
#        .Capabilities.KubeVersion is the version of the Kubernetes libraries that it is built with.
# So:    it is v1.20.0. The released program is told by -ldflags; a chart whose kubeVersion is newer is refused by the other one,
#        and templates that ask for the version take the branch for old clusters.
# Seen:  helm.sh/helm/v3/cmd/helm v3.22.0.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export HELM_CACHE_HOME="$work/helm" HELM_CONFIG_HOME="$work/helm" HELM_DATA_HOME="$work/helm" GOFLAGS=
util=helm.sh/helm/v3/pkg/chartutil
GOBIN="$work/plain" go install helm.sh/helm/v3/cmd/helm@v3.22.0
GOBIN="$work/told" go install -ldflags "-X $util.k8sVersionMajor=1 -X $util.k8sVersionMinor=36" helm.sh/helm/v3/cmd/helm@v3.22.0
mkdir -p chart/templates
printf 'apiVersion: v2\nname: chart\nversion: 1.0.0\n' > chart/Chart.yaml
printf 'kube: {{ .Capabilities.KubeVersion.Version }}\n' > chart/templates/a.yaml
for built in plain told; do
  echo "$built: $("$built/helm" template chart | grep '^kube:' | tee "$built.out")"
done
[[ $(<plain.out) == "kube: v1.20.0" && $(<told.out) == "kube: v1.36.0" ]] || { echo "the behaviour has changed"; exit 1; }
printf 'kubeVersion: ">=1.29.0-0"\n' >> chart/Chart.yaml
said=$(plain/helm template chart 2>&1) && { echo "the behaviour has changed"; exit 1; }
echo "$said"
[[ $said == *v1.20.0* ]] && told/helm template chart >/dev/null || { echo "the behaviour has changed"; exit 1; }
